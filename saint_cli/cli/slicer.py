"""``saint slicer``: the same as ``saint upsample``, as a command-line module of 3D Slicer."""

from typing import Annotated

import typer

from saint_cli.cli.parameters import Typed, declare, takes_options
from saint_cli.cli.upsample import OtherOutputs
from saint_cli.errors import UsageError
from saint_cli.options.fields import from_typed
from saint_cli.options.job import JOB_OPTIONS
from saint_cli.slicer.form import list_form_options, read_form

FORM_OPTIONS = list_form_options(*JOB_OPTIONS, OtherOutputs)

LAUNCHER_MODE = 0o755


def _print_xml(is_asked: bool) -> None:
    if is_asked:
        from saint_cli.cli import console
        from saint_cli.slicer.description import render_description

        console.print_plain(render_description(FORM_OPTIONS))
        raise typer.Exit


def _write_launcher(path: str | None) -> None:
    if path is None:
        return
    from saint_cli.cli import console, parsing
    from saint_cli.io.whole_files import write_bytes
    from saint_cli.slicer.launcher import render_launcher

    target = parsing.parse_local_path(path)
    if target.suffix:
        raise UsageError(f"--launcher {target}: Slicer finds programs without an ending only; call it {target.stem}")
    parsing.check_new_file("--launcher", target, "", overwrite=True)
    write_bytes(render_launcher().encode(), target)
    target.chmod(LAUNCHER_MODE)
    console.print_message(f"{target}: add its folder in Slicer, Edit > Application Settings > Modules, and restart it")
    raise typer.Exit


_XML = declare("--xml", "Print the description of the form, and exit.", callback=_print_xml, is_eager=True)
_LAUNCHER = declare(
    "--launcher",
    "Write a program that Slicer finds as a module, and exit.",
    metavar="PATH",
    callback=_write_launcher,
    is_eager=True,
)


@takes_options(*FORM_OPTIONS)
def slicer(
    *,
    source: Annotated[
        str | None,
        typer.Argument(metavar="INPUT", help="Volume that Slicer wrote (.nrrd); not with --xml, --launcher."),
    ] = None,
    target: Annotated[
        str | None, typer.Argument(metavar="OUTPUT", help="Volume that Slicer reads back (.nrrd); likewise.")
    ] = None,
    typed: Typed,
    xml: Annotated[bool, _XML] = False,
    launcher: Annotated[str | None, _LAUNCHER] = None,
) -> None:
    """Run as a command-line module of 3D Slicer: saint upsample, with Slicer's progress lines on stdout."""
    from saint_cli.cli import console, job_options
    from saint_cli.jobs import announcements, run_job
    from saint_cli.slicer.progress_elements import ProgressElements

    if source is None or target is None:
        raise UsageError("saint slicer needs INPUT and OUTPUT, or --xml or --launcher alone")
    form = read_form(typed, FORM_OPTIONS)
    others = vars(from_typed(OtherOutputs, form)) | {"overwrite": True}  # of files that Slicer named, or a user chose
    job = job_options.make_job(source, target, form, **others)
    progress = ProgressElements(console.print_plain)
    announcer = announcements.Announcer(None, console.print_warning)
    result = run_job(job, progress, announcer)
    for sentence in (one for one in result.warnings if one not in announcer.announced):
        console.print_warning(sentence)
    progress.finish(result.summary)
