# Find a Python and let it bring .venv up to date. Only this part cannot be Python; the rest is in environment.py.
# The Python of the environment is tried first: where .venv is up to date, which is nearly always, nothing else runs.
cd "$(dirname "$0")/.." || exit
.venv/bin/python -ISB .just/current.py 2>/dev/null && exit

recent_python=
for python in python3 python3.14 python3.13 python3.12 python3.11 python; do
    "$python" -ISc 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    recent_python=$python
    "$python" -ISc 'import ensurepip, venv' 2>/dev/null && exec "$python" -IB .just/environment.py
done

if [ "$recent_python" ]; then
    echo "$recent_python cannot make virtual environments; on Debian or Ubuntu type: apt install $(basename "$recent_python")-venv" >&2
else
    echo "SignalHub needs Python 3.11 or newer, and none is on the PATH." >&2
fi
exit 1
