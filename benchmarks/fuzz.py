"""Give saint thousands of damaged and hostile inputs; each must end in a result or in one of saint's own errors.

    python benchmarks/fuzz.py --cases 50000 --jobs 4
    python benchmarks/fuzz.py --cases 2000 --seed 7 --kinds nrrd meta
    python benchmarks/fuzz.py --replay failures/nrrd-0-17.json

Signals, other exceptions, more than 20 s and more than 1 GB are failures, and so are wrong values, files that are left
and patient text in messages. The exit code is 1 if there is any. Needs the packages of the extra ``test``.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from arguments import make_parser

sys.path[0] = str(Path(__file__).parent.parent / "tests")  # in place of this folder, whose fuzz.py is this file

from fuzz import runner  # noqa: E402
from fuzz.oracle import Outcome  # noqa: E402
from fuzz.sample import Sample  # noqa: E402


def main() -> None:
    """Run what the command line asks for, and print the outcomes."""
    parser = make_parser(__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--kinds", nargs="+", choices=list(runner.KINDS), default=list(runner.KINDS))
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for failures")
    parser.add_argument("--replay", type=Path, nargs="+", help="files of failures to run again")
    parser.add_argument("--unpack", type=Path, help="with --replay: write the inputs of the first file there")
    options = parser.parse_args()
    if options.replay:
        cases = [json.loads(path.read_text()) for path in options.replay]
        if options.unpack:
            print(Sample.from_json(cases[0]["sample"]).write(options.unpack))
            return
    else:
        cases = runner.cases_of(options.cases, options.seed, options.kinds)
    tally = runner.run(cases, jobs=options.jobs, keep=None if options.replay else options.keep, on_case=make_printer())
    print("\n".join(tally.lines()))
    if options.replay:
        for failure in tally.failures:
            print(failure.case["kind"], failure.case["number"], failure.outcome.detail, failure.outcome.trace, sep="\n")
    print(f"{tally.count} cases in {tally.seconds:.0f} s, {len(tally.failures)} failures")
    raise SystemExit(bool(tally.failures))


def make_printer() -> Callable[[runner.Case, Outcome], None]:
    """Print a line for each failure, and one for each thousand cases."""
    done = 0

    def print_case(case: runner.Case, outcome: Outcome) -> None:
        nonlocal done
        done += 1
        if outcome.is_failure:
            place = runner.Failure(case, outcome).place
            print(f"seed {case['seed']}, case {case['number']}, {place}", flush=True)
        elif done % 1000 == 0:
            print(f"{done} cases", flush=True)

    return print_case


if __name__ == "__main__":
    main()
