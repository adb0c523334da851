package dcap

import (
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// What a TCB status says. A status that is not Revoked is a set of these.
const (
	outOfDate     = 1 << iota // an update is missing
	configuration             // the platform's configuration needs a change
	swHardening               // the software must defend itself
)

// meaning takes a status apart; false is for one that Intel does not define.
func meaning(s tee.Status) (bits int, known bool) {
	switch s {
	case tee.UpToDate:
		return 0, true
	case tee.SWHardeningNeeded:
		return swHardening, true
	case tee.ConfigurationNeeded:
		return configuration, true
	case tee.ConfigurationAndSWHardeningNeeded:
		return configuration | swHardening, true
	case tee.OutOfDate:
		return outOfDate, true
	case tee.OutOfDateConfigurationNeeded:
		return outOfDate | configuration, true
	}
	return 0, s == tee.Revoked
}

// converge returns the status of a platform from those of its parts: what is
// wrong with one is wrong with the whole. So OutOfDate turns UpToDate and
// SWHardeningNeeded into OutOfDate, and Configuration… into
// OutOfDateConfigurationNeeded, as in Intel's convergence table; Revoked wins over all.
func converge(parts ...tee.Status) tee.Status {
	all := 0
	for _, s := range parts {
		bits, known := meaning(s)
		if s == tee.Revoked || !known {
			return tee.Revoked // readStatus lets no unknown one through
		}
		all |= bits
	}
	switch {
	case all&outOfDate != 0 && all&configuration != 0:
		return tee.OutOfDateConfigurationNeeded
	case all&outOfDate != 0:
		return tee.OutOfDate
	case all == configuration|swHardening:
		return tee.ConfigurationAndSWHardeningNeeded
	case all == configuration:
		return tee.ConfigurationNeeded
	case all == swHardening:
		return tee.SWHardeningNeeded
	}
	return tee.UpToDate
}

// verdict is what a level of TCB info or QE identity says of who reaches it.
type verdict struct {
	status     tee.Status
	date       time.Time
	advisories []string
}

// levelNames are the members of a level beside its "tcb".
var levelNames = names{required: []string{"tcb", "tcbDate", "tcbStatus"}, optional: []string{"advisoryIDs"}}

// read reads the member "tcbDate", "tcbStatus" or "advisoryIDs" of a level.
func (v *verdict) read(d *document, name string) (err error) {
	switch name {
	case "tcbDate":
		v.date, err = d.time()
		return err
	case "advisoryIDs":
		return d.array(func(int) error {
			id, err := d.str()
			v.advisories = append(v.advisories, id)
			return err
		})
	}
	s, err := d.str()
	if err != nil {
		return err
	}
	v.status = tee.Status(s)
	if _, known := meaning(v.status); !known {
		return fmt.Errorf("got the unknown status %q", s)
	}
	return nil
}
