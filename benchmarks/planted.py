"""Which methods find the channels that are known to be a class's: plain, residual and concatenating planted networks.

    python -m benchmarks.planted --seeds 5

No data are needed; networks and images are made on the spot.
"""

from __future__ import annotations

import argparse

from benchmarks.common import RESULTS, keep
from unweave.pipeline.planted_bench import METHODS, planted_bench
from unweave.planted.architecture import KINDS
from unweave.views.planted_plots import plot_planted
from unweave.views.style import save_figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=None)
    arguments = parser.parse_args()
    found = planted_bench(arguments.kinds, arguments.classes, range(arguments.seeds), arguments.methods)
    name = f"planted_{arguments.classes}_classes"
    keep(
        name,
        {
            "seeds": list(range(arguments.seeds)),
            "table": found.table.as_dict(),
            "raw": {"runs": found.runs.as_dict(), "networks": list(found.networks)},
        },
    )
    save_figure(plot_planted(found.runs), RESULTS / name)


if __name__ == "__main__":
    main()
