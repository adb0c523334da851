package dcap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/attest"
)

// What a TCB status says. A status that is not Revoked is a set of these.
const (
	outOfDate     = 1 << iota // an update is missing
	configuration             // the platform's configuration needs a change
	swHardening               // the software must defend itself
)

// meaning takes a status apart; false is for one that Intel does not define.
func meaning(s attest.Status) (bits int, known bool) {
	switch s {
	case attest.UpToDate:
		return 0, true
	case attest.SWHardeningNeeded:
		return swHardening, true
	case attest.ConfigurationNeeded:
		return configuration, true
	case attest.ConfigurationAndSWHardeningNeeded:
		return configuration | swHardening, true
	case attest.OutOfDate:
		return outOfDate, true
	case attest.OutOfDateConfigurationNeeded:
		return outOfDate | configuration, true
	}
	return 0, s == attest.Revoked
}

// converge returns the status of a platform from those of its parts: what is
// wrong with one is wrong with the whole. So OutOfDate turns UpToDate and
// SWHardeningNeeded into OutOfDate, and Configuration… into
// OutOfDateConfigurationNeeded, as in Intel's convergence table; Revoked wins over all.
func converge(parts ...attest.Status) attest.Status {
	all := 0
	for _, s := range parts {
		bits, known := meaning(s)
		if s == attest.Revoked || !known {
			return attest.Revoked // readStatus lets no unknown one through
		}
		all |= bits
	}
	switch {
	case all&outOfDate != 0 && all&configuration != 0:
		return attest.OutOfDateConfigurationNeeded
	case all&outOfDate != 0:
		return attest.OutOfDate
	case all == configuration|swHardening:
		return attest.ConfigurationAndSWHardeningNeeded
	case all == configuration:
		return attest.ConfigurationNeeded
	case all == swHardening:
		return attest.SWHardeningNeeded
	}
	return attest.UpToDate
}

// verdict is what a level of TCB info or QE identity says of who reaches it.
type verdict struct {
	status     attest.Status
	advisories []string
}

// verdictNames are the members of a level beside its "tcb".
var levelNames = names{required: []string{"tcb", "tcbStatus"}, optional: []string{"advisoryIDs"}}

// read reads the member "tcbStatus" or "advisoryIDs" of a level.
func (v *verdict) read(d *document, name string) error {
	if name == "advisoryIDs" {
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
	v.status = attest.Status(s)
	if _, known := meaning(v.status); !known {
		return fmt.Errorf("got the unknown status %q", s)
	}
	return nil
}

// mergeAdvisories returns all, sorted, each once.
func mergeAdvisories(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

// describe lists shortfalls in words.
func describe(shortfalls []attest.Shortfall) string {
	words := make([]string, len(shortfalls))
	for i, s := range shortfalls {
		words[i] = fmt.Sprintf("%s is %d, want %d", s.Component, s.Have, s.Want)
	}
	return strings.Join(words, "; ")
}
