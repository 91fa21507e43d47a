import sys, tempfile, time, traceback
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from . import scenarios, sqlite_faults
from .stage import Stage

def run(function):
    folder = Path(tempfile.mkdtemp(prefix=f"runs-{function.__name__}-"))
    with Stage({"kind": "sqlite", "path": str(folder / "runs.db")}, folder) as stage:
        try:
            figures = function(stage)
        except Exception:
            traceback.print_exc()
            print(function.__name__, folder)
            return
        print(f"{function.__name__:30} {figures.runs:4} {figures.followers:5} {dict(figures.ends)} holes {figures.holes} copies {figures.copies} false {figures.false} hangs {figures.hangs} {figures.seconds:.1f} s {figures.notes}", flush=True)
        if figures.failures:
            print(folder)
        for f in figures.failures[:8]: print("   ", f, flush=True)

names = sys.argv[1:]
with ThreadPoolExecutor(3) as pool:
    list(pool.map(run, [f for f in scenarios.SCENARIOS + sqlite_faults.SCENARIOS if not names or f.__name__ in names]))
