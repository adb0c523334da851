package dcap_test

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// evidence is one question that every implementation is asked.
type evidence struct {
	name       string
	quote      []byte
	collateral *dcap.Collateral
	root       *x509.Certificate // nil: Intel's
	at         time.Time
	debug      bool // the enclave is one in debug mode; oasis-core must be told
}

// verdict is the answer. An implementation that does not tell a status leaves it empty.
type verdict struct {
	refused    string          // why it is not genuine; empty means that it is
	status     []attest.Status // the converged status is one of these
	qe         attest.Status   // the quoting enclave's alone
	advisories []string        // sorted; nil if the implementation does not tell
}

// agrees tells whether the answer is what a correct verifier says, as far as it goes.
func (v verdict) agrees(genuine bool, want attest.TCB) bool {
	if v.refused != "" || !genuine {
		return v.refused != "" && !genuine
	}
	return (v.status == nil || slices.Contains(v.status, want.Status)) &&
		(v.qe == "" || v.qe == want.QE) &&
		(v.advisories == nil || slices.Equal(v.advisories, want.Advisories))
}

// String says it in the words of the table in ../README.md.
func (v verdict) String() string {
	switch {
	case v.refused != "":
		return "refuses"
	case len(v.status) == 1:
		return string(v.status[0])
	default:
		return "accepts"
	}
}

// oracle is an implementation. It is asked everything at once, since starting one may be slow.
type oracle func(t *testing.T, all []evidence) []verdict

var oracles = []struct {
	name string
	ask  oracle
}{
	{"oasis-core", askOasis},
	{"dcap-qvl", askQVL},
	{"ctb", askOurs},
}

// askOurs asks this project's own verifier.
func askOurs(t *testing.T, all []evidence) []verdict {
	var out []verdict
	for _, e := range all {
		v := &dcap.Verifier{Root: e.root, Collateral: e.collateral}
		r, err := v.Verify(t.Context(), &attest.Evidence{Platform: v.Platform(), Quote: e.quote}, e.at)
		if err != nil {
			out = append(out, verdict{refused: err.Error()})
			continue
		}
		out = append(out, verdict{status: []attest.Status{r.TCB.Status}, qe: r.TCB.QE, advisories: sorted(r.TCB.Advisories)})
	}
	return out
}

// made is when the simulated platforms are made, and the instant of every question about them.
var made = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// upToDate is a platform without any fault.
var upToDate = simulated.Variants()[0]

func simulate(t *testing.T, v simulated.Variant) evidence {
	t.Helper()
	c := v.Config
	c.Now, c.Seed = made, []byte("the seed of the interoperability tests")
	p, err := simulated.New(c)
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.Quote(t.Context(), [64]byte{'d', 'a', 't', 'a'})
	if err != nil {
		t.Fatal(err)
	}
	return evidence{name: v.Name, quote: e.Quote, collateral: p.Collateral(), root: p.Root(), at: made, debug: c.Debug}
}

// sorted returns a list that is not nil.
func sorted(s []string) []string {
	s = append([]string{}, s...)
	slices.Sort(s)
	return slices.Compact(s)
}
