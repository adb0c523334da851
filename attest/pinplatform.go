package attest

import (
	"fmt"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// What Pin says of a platform, and what it writes of one maker's builds alone.

func (w *pinner) intelPlatform() {
	r := w.report
	w.note(0, "Platform: FMSPC %s, certified by the %s CA; TCB status %s, evaluation number %d.", orNone(r.FMSPC), orNone(r.PCKCA), orNone(string(r.TCB.Status)), r.TCB.EvaluationNumber)
	for _, l := range r.TCB.Levels {
		w.note(0, "  %s: %s, a level of %s", l.Part, l.Status, l.Date.UTC().Format(time.DateOnly))
	}
}

func (w *pinner) amdPlatform() {
	a := w.report.AMD
	w.note(0, "Platform: %s; report version %d, signed by a %s.", orNone(clip(a.Product)), a.Version, strings.ToUpper(orNone(clip(a.SignedBy))))
	w.note(0, "  TCB that it reports: %s", a.Reported)
	for _, other := range []struct {
		what string
		tcb  tee.AMDTCB
	}{{"of the firmware that runs", a.Current}, {"that it can go back to", a.Committed}, {"when the guest was launched", a.Launch}} {
		if other.tcb != a.Reported {
			w.note(0, "  TCB %s: %s", other.what, other.tcb)
		}
	}
	w.note(0, "  Guest policy: %s", a.Policy)
}

// amdBuild writes how recent the platform must be: AMD publishes no judgement that could say so.
func (w *pinner) amdBuild() {
	a := w.report.AMD
	w.note(4, "The family of processors, whose numbers the next ones are: those of another say something else.")
	w.set(4, true, "product", quoteYAML(a.Product))
	w.note(4, "The least security version numbers: of what the machine reports, and of what it was when the guest was launched. AMD judges no platform, so nothing else says how recent one must be. Raise them after AMD's security bulletins.")
	var list []string
	reported, launch := a.Reported.Components(), a.Launch.Components()
	for i, c := range reported {
		if c.Name != "fmc" || hasFMC(a.Product) {
			list = append(list, fmt.Sprintf("%s: %d", c.Name, min(c.SVN, launch[i].SVN)))
		}
	}
	w.set(4, true, "min_tcb", "{"+strings.Join(list, ", ")+"}")
	if a.GuestSVN > 0 {
		w.note(4, "A minimum: the security version that the ID block gives the guest.")
		w.set(4, true, "guest_svn", fmt.Sprint(a.GuestSVN))
	}
}

func (w *pinner) awsPlatform() {
	if a := w.report.AWS; a != nil {
		w.note(0, "Nitro security module %s; the document was made at %s.", orNone(clip(a.ModuleID)), stamp(a.Timestamp))
	}
}
