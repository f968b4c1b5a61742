"""Do to small training runs what happens to large ones, and count those that survive.

python -m tests.drills                   # about a quarter of an hour on two cores
python -m tests.drills kills --tries 5
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.small_data import write_pairs

if sys.platform != "linux":  # before what Windows cannot import
    raise SystemExit("the drills need Linux: they fork, limit what a process may take, and look into /proc")

from tests.drills import faults, hostile, images, page, stops, system

DRILLS = {
    "kills": (stops.kills, 50),
    "signals": (stops.signals, 12),
    "checkpoints": (stops.damaged_checkpoints, 12),
    "disk": (faults.full_disk, 12),
    "loss": (faults.not_finite, 6),
    "twice": (faults.second_run, 6),
    "gone": (faults.vanished, 6),
    "images": (images.mutated, 1000),
    "full_then_room": (system.full_for_a_while, 6),
    "shared_memory": (system.shared_memory, 6),
    "handles": (system.few_handles, 6),
    "read_only": (system.read_only, 12),
    "hostile_checkpoints": (hostile.checkpoints, 30),
    "hostile_settings": (hostile.configurations, 32),
    "hostile_archives": (hostile.archives, 20),
    "page": (page.asked_and_given, 200),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drills", nargs="*", choices=[*DRILLS, []], help="which (default: all)")
    parser.add_argument("--tries", type=int, help="of each drill (default: 12 to 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and places")
    arguments = parser.parse_args()
    failed = []
    print(f"{'fault':<42}{'tries':>7}{'survived':>10}{'lost':>6}", flush=True)
    for name in arguments.drills or DRILLS:
        drill, tries = DRILLS[name]
        work = Path(tempfile.mkdtemp(prefix="fault-drill-"))
        write_pairs(work / "pairs" / "our485", range(8))
        outcome = drill(work / "pairs", work, arguments.tries or tries, random.Random(arguments.seed))
        counts = f"{outcome.tries:>7}{outcome.survived:>10}{outcome.lost:>6}"
        print(f"{outcome.fault:<42}{counts}  {outcome.remark}", flush=True)
        if outcome.survived == outcome.tries:
            shutil.rmtree(work)
        else:
            failed.append(work)
    if failed:
        raise SystemExit(f"not survived; what is left to look at: {' '.join(map(str, failed))}")


if __name__ == "__main__":
    main()
