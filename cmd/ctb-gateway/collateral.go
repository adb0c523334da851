package main

import (
	"log/slog"

	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// collateralLog tells once of each change in what is wrong with the collateral service and its cache. Keys
// that were accepted stay so until their collateral ends: the log is where an operator learns of it before.
type collateralLog struct {
	told string // what was wrong when it was told last
}

// tell looks at the source that the keys' evidence is judged by; nil if there is none. One goroutine calls it.
func (l *collateralLog) tell(log *slog.Logger, source *evidence.Collateral) {
	known := source.Status()
	if len(known) == 0 {
		return // no service, or nothing was asked since the files were read
	}
	// The error's words may differ each time, by a port, say: what counts is whether there is one.
	now := ""
	for _, e := range known {
		if e.Err != nil {
			now += e.Platform + " "
		}
		if e.DiskErr != nil {
			now += e.Platform + " on disk "
		}
	}
	if now == l.told {
		return
	}
	l.told = now
	if err := source.Err(); err != nil {
		log.Warn("collateral service or its cache fails; what was had before serves until it ends", "error", err.Error())
		return
	}
	log.Info("collateral service is well again")
}
