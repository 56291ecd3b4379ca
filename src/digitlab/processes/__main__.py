"""`python -P -m digitlab.processes`: what `Worker` starts; nobody types it."""

from digitlab.processes.inside import main

main()
