package main

import (
	"fmt"
	"log/slog"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// attested is the key set of an attested broker, with the source of the collateral that the
// configuration names for its evidence.
type attested struct {
	*attest.KeySet
	collateral *evidence.Collateral // nil: none is named
}

// collateralLog tells once of each change in what is wrong with the collateral service and its cache. Keys
// that were accepted stay so until their collateral ends: the log is where an operator learns of it before.
type collateralLog struct {
	log  *slog.Logger
	told string // what was wrong when it was told last
}

// tell looks at the source that the keys' evidence is judged by. One goroutine calls it.
func (l *collateralLog) tell(keys ctb.KeySet) {
	set, ok := keys.(attested)
	if !ok {
		return
	}
	known := set.collateral.Status()
	if len(known) == 0 {
		return // no service, or nothing was asked since the files were read
	}
	// The error's words may differ each time, by a port, say: what counts is whether there is one.
	now := ""
	for _, e := range known {
		if e.Err != nil {
			now += fmt.Sprintf("%v ", e.Platform)
		}
		if e.DiskErr != nil {
			now += fmt.Sprintf("%v on disk ", e.Platform)
		}
	}
	if now == l.told {
		return
	}
	l.told = now
	if err := set.collateral.Err(); err != nil {
		l.log.Warn("collateral service or its cache fails; what was had before serves until it ends", "error", err.Error())
		return
	}
	l.log.Info("collateral service is well again")
}
