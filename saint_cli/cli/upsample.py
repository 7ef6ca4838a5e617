"""``saint upsample``: one scan in, one scan with finer slices out."""

from saint_cli.cli import examples, options


def upsample(
    *,
    source: options.Source,
    target: options.Target,
    factor: options.Factor = None,
    spacing: options.Spacing = None,
    isotropic: options.Isotropic = False,
    axis: options.Axis = None,
    series: options.Series = None,
    volume: options.ChosenVolume = None,
    split_runs: options.SplitRuns = False,
    merge: options.Merge = False,
    outside_data: options.OutsideData = False,
    modality: options.Modality = "auto",
    allow_labels: options.AllowLabels = False,
    model: options.Model = "auto",
    directions: options.Directions = 2,
    tta: options.Tta = False,
    match_noise: options.MatchNoise = False,
    regenerate: options.Regenerate = False,
    extrapolate: options.Extrapolate = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    batch_size: options.BatchSize = "auto",
    threads: options.Threads = None,
    max_memory: options.MaxMemory = None,
    no_skip_air: options.NoSkipAir = False,
    uncertainty: options.Uncertainty = None,
    page: options.Page = None,
    preview: options.Preview = None,
    overwrite: options.Overwrite = False,
    slice_thickness: options.SliceThickness = None,
    keep_slice_thickness: options.KeepSliceThickness = None,
    quiet: options.Quiet = False,
    as_json: options.SummaryAsJson = False,
) -> None:
    """Interpolate the slices of one thick-slice scan with SAINT."""
    given = dict(locals())
    from dataclasses import asdict, replace

    from saint_cli import console
    from saint_cli.cli import chosen, words
    from saint_cli.jobs import announcements, run_job

    job = chosen.between(chosen.job_of(given), words.place(source), words.place(target))
    job = replace(job, uncertainty=uncertainty, page=page, preview=preview)
    with console.progress(quiet=quiet or as_json) as report:
        done = run_job(job, report, announcements.nothing if quiet or as_json else report.say)
    if as_json:
        console.show_json(asdict(done))
    elif not quiet:
        for sentence in done.warnings:
            console.warn(sentence)
        console.say(done.summary)


upsample.__doc__ = f"{upsample.__doc__}\n{examples.UPSAMPLE}"
