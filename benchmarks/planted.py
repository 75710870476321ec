"""Which methods find the channels that are known to be a class's: plain, residual and concatenating planted networks.

    python -m benchmarks.planted --accepted 5 --work work/planted
    python -m benchmarks.planted --accepted 5 --first-seed 5 --methods default --work work/planted

No data are needed; networks and images are made on the spot. With `--work` every result is kept as soon as it is known,
and the same command goes on; result and figure are written at the end.
"""

from __future__ import annotations

import argparse

from benchmarks.common import RESULTS, keep
from unweave.pipeline.planted_bench import planted_bench
from unweave.pipeline.planted_methods import METHODS
from unweave.planted.architecture import KINDS
from unweave.views.planted_plots import plot_planted
from unweave.views.style import save_figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accepted", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0, help="of the generator")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=None)
    parser.add_argument("--work", help="a folder below which results are kept, relative to here")
    arguments = parser.parse_args()
    found = planted_bench(
        arguments.kinds,
        arguments.classes,
        arguments.accepted,
        arguments.methods,
        first_seed=arguments.first_seed,
        work=arguments.work,
        say=lambda line: print(line, flush=True),
        show_progress=False,
    )
    later = f"_from_seed_{arguments.first_seed}" if arguments.first_seed else ""
    name = f"planted_{arguments.classes}_classes{later}"
    keep(
        name,
        {
            "table": found.table.as_dict(),
            "refused": found.refused.as_dict(),
            "raw": {"runs": found.runs.as_dict(), "networks": list(found.networks)},
        },
    )
    save_figure(plot_planted(found.runs), RESULTS / name)


if __name__ == "__main__":
    main()
