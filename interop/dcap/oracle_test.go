package dcap_test

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// evidence is one question that every implementation is asked, and the answer that is right.
type evidence struct {
	format     string // of the quote; with the name, what the tables in ../README.md know it by
	name       string
	quote      []byte
	collateral *dcap.Collateral
	root       *x509.Certificate // nil: Intel's
	at         time.Time
	debug      bool // it is in debug mode; oasis-core must be told

	genuine bool
	want    tee.TCB // if genuine
	// sample marks one of many of the same name, of which a row in the table need hold for one alone.
	sample bool
}

// verdict is the answer of an implementation, as far as it tells: what it does not tell is empty.
type verdict struct {
	refused  string // why it is not genuine; empty means that it is
	panics   bool   // it was refused by a panic
	declines bool   // it was refused for a status that is told, maybe before all else was checked

	status     []tee.Status // the converged status is one of these
	tdx        tee.Status   // platform and TDX module together, without the quoting enclave
	platform   tee.Status   // these three: of a part alone
	module     tee.Status
	qe         tee.Status
	advisories []string // sorted; nil if it does not tell
	of         string   // the part that the advisories are of; empty: all
}

// Words of the table in ../README.md for answers that are not a status.
const (
	refuses         = "refuses"
	panics          = "panics"
	accepts         = "accepts"
	otherAdvisories = "other advisories"
)

// differs tells how the answer differs from the right one, in the words of the
// table in ../README.md; empty means that it does not. A panic always does.
func (v verdict) differs(e evidence) string {
	switch {
	case v.panics:
		return panics
	case v.refused != "" && e.genuine:
		return refuses
	case v.refused != "" || v.declines && !e.genuine:
		return ""
	case !e.genuine:
		return accepts
	case v.status != nil && !slices.Contains(v.status, e.want.Status):
		return v.summary()
	case v.tdx != "" && v.tdx != withModule(e.want):
		return v.summary()
	case v.platform != "" && v.platform != e.want.Platform:
		return "platform " + string(v.platform)
	case v.module != "" && v.module != e.want.Module:
		return "module " + string(v.module)
	case v.qe != "" && v.qe != e.want.QE:
		return "QE " + string(v.qe)
	case v.advisories != nil && !slices.Equal(v.advisories, advisoriesOf(e.want, v.of)):
		return otherAdvisories
	}
	return ""
}

// summary is the status of the whole, as far as it is told.
func (v verdict) summary() string {
	switch {
	case len(v.status) == 1:
		return string(v.status[0])
	case v.tdx != "":
		return string(v.tdx)
	}
	return accepts
}

// withModule is the status of a TDX platform and its module, without the quoting
// enclave, by Intel's rule: tdxEvaluateTCB and convergeTcbStatuses in its Quote Verification Library.
func withModule(t tee.TCB) tee.Status {
	switch {
	case t.Module == tee.Revoked || t.Platform == tee.Revoked:
		return tee.Revoked
	case t.Module != tee.OutOfDate:
		return t.Platform
	}
	switch t.Platform {
	case tee.ConfigurationNeeded, tee.ConfigurationAndSWHardeningNeeded, tee.OutOfDateConfigurationNeeded:
		return tee.OutOfDateConfigurationNeeded
	}
	return tee.OutOfDate
}

// advisoriesOf are those of one part, or of all.
func advisoriesOf(t tee.TCB, part string) []string {
	if part == "" {
		return sorted(t.Advisories)
	}
	for _, l := range t.Levels {
		if l.Part == part {
			return sorted(l.Advisories)
		}
	}
	return nil
}

// oracle is an implementation. It is asked everything at once, since starting one may be slow.
type oracle struct {
	name string
	ask  func(t *testing.T, all []evidence) []verdict
}

var oracles = []oracle{
	{"oasis-core", askOasis},
	{"dcap-qvl", askQVL},
	{"go-tdx-guest", askTDXGuest},
	{ours, askOurs},
}

// ours is the name of this project's own verifier, which knows every format and has nothing to explain.
const ours = "ctb"

// askOurs asks this project's own verifier.
func askOurs(t *testing.T, all []evidence) []verdict {
	var out []verdict
	for _, e := range all {
		v := &dcap.Verifier{Root: e.root, Collateral: e.collateral}
		r, err := v.Verify(t.Context(), &tee.Evidence{Platform: v.Platform(), Quote: e.quote}, e.at)
		if err != nil {
			out = append(out, verdict{refused: err.Error()})
			continue
		}
		out = append(out, verdict{
			status: []tee.Status{r.TCB.Status}, platform: r.TCB.Platform, module: r.TCB.Module, qe: r.TCB.QE,
			advisories: sorted(r.TCB.Advisories),
		})
	}
	return out
}

// sorted returns a list that is not nil.
func sorted(s []string) []string {
	s = append([]string{}, s...)
	slices.Sort(s)
	return slices.Compact(s)
}
