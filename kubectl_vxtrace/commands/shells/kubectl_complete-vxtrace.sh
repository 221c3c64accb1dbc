#!/bin/sh
# Written by `kubectl vxtrace completion install`: kubectl (1.26 and later) asks this what could complete `kubectl vxtrace ...`.
exec kubectl-vxtrace __complete "$@"
