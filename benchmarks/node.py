"""Orthanc sends series to ``saint serve``, which is killed twice meanwhile; an Orthanc archive gets the results.

    python benchmarks/node.py --series 100 --kills 2

Three series are broken. The exit code is 0 if the archive holds exactly one derived series for each good series, and
nothing else, and the node keeps the broken ones, each with a reason. Needs the extras ``node`` and ``test``, and the
Debian package orthanc; all of it listens on the loopback interface.
"""

import random
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from arguments import make_parser

sys.path[0] = str(Path(__file__).parent.parent / "tests")  # in place of this folder, whose node.py is this file

from node import archives, exchange  # noqa: E402
from node.exchange import ServeProcess  # noqa: E402


@dataclass
class Killer:
    """Ends a node by SIGKILL and starts it again, as often as there are ``kills``, spread over what it is sent."""

    kills: int
    total: int
    random: random.Random
    node: ServeProcess | None = None
    moments: list[str] = field(default_factory=list)
    thread: threading.Thread | None = None

    def on_sent(self, sent: int) -> None:
        """Kill it from another thread, while the next series is sent, when so many were."""
        if len(self.moments) < self.kills and sent >= self.total * (len(self.moments) + 1) // (self.kills + 1):
            self.moments.append(f"{sent} of {self.total} series sent")
            self.wait()
            self.thread = threading.Thread(target=self._kill)
            self.thread.start()

    def _kill(self) -> None:
        assert self.node is not None
        time.sleep(self.random.uniform(0, 1))
        states = self.node.read_health()["queue"]
        self.moments[-1] += f", {', '.join(f'{count} {name}' for name, count in states.items() if count)}"
        self.node.kill()
        time.sleep(self.random.uniform(0, 2))
        self.node.start()

    def wait(self) -> None:
        """Wait until the node runs again."""
        if self.thread is not None:
            self.thread.join()


def main() -> None:
    """Run the exchange, and print what came of it."""
    parser = make_parser(__doc__)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="fast")
    options = parser.parse_args()
    generator = random.Random(options.seed)
    kinds = ["good"] * options.series
    for place, kind in zip(generator.sample(range(options.series), len(exchange.BROKEN)), exchange.BROKEN, strict=True):
        kinds[place] = kind
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        is_right = run(Path(folder), kinds, options.model, Killer(options.kills, len(kinds), generator), stack)
    raise SystemExit(not is_right)


def run(folder: Path, kinds: list[str], model: str, killer: Killer, stack: ExitStack) -> bool:
    """Send series of these kinds through a node in a folder; whether all is as it must be."""
    port = archives.free_port()
    pacs = stack.enter_context(archives.run_orthanc(folder / "pacs", "PACS", exchange.source_settings(port)))
    archive = stack.enter_context(archives.run_orthanc(folder / "archive", "ARCHIVE"))
    source = exchange.OrthancSource.fill(pacs, exchange.save_all(folder / "source", kinds))
    allow = ("--allow", f"PACS@127.0.0.1:{pacs.dicom_port}")
    forward = f"ARCHIVE@127.0.0.1:{archive.dicom_port}"
    node = stack.enter_context(ServeProcess(folder / "node", forward, model, allow, port))
    killer.node = node
    began = time.monotonic()
    repeats = exchange.send_all(source, range(len(kinds)), killer.on_sent)
    killer.wait()
    archives.wait_until(node.is_idle, 3600)
    seconds = time.monotonic() - began
    print(f"{len(kinds)} series sent by Orthanc, {repeats} of them again; idle after {seconds:.0f} s")
    print("\n".join(f"killed: {moment}" for moment in killer.moments))
    return report(node, exchange.ask_studies(archive), kinds)


def report(node: ServeProcess, found: exchange.Studies, kinds: list[str]) -> bool:
    """Print what the archive and the node hold; whether it is what it must be."""
    expected, health = exchange.expected_studies(kinds), node.read_health()
    broken = {exchange.make_uid("series", number) for number, kind in enumerate(kinds) if kind != "good"}
    tally = Counter("right" if found.get(study) == counts else "wrong" for study, counts in expected.items())
    print(f"archive: {tally['right']} of {len(expected)} good series have one series of {exchange.DERIVED} slices")
    print(f"archive: {len(found.keys() - expected.keys())} studies that should not be there")
    print(f"node: {health['queue']}, {health['disk_used']} bytes in the queue")
    print("\n".join(line for line in node.log.splitlines() if "failed" in line))
    print(f"patient text in the log: {'yes' if 'SECRET' in node.log else 'no'}")
    return found == expected and exchange.find_failed(node) == broken and "SECRET" not in node.log


if __name__ == "__main__":
    main()
