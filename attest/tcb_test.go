package attest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
)

// A status may be tolerated until an instant, and not a moment longer.
func TestToleration(t *testing.T) {
	until := day(10)
	outOfDate := func(o attest.Toleration) func(*attest.Policy) {
		return func(p *attest.Policy) {
			o.Status, o.Until = attest.OutOfDate, until
			p.TCB.Tolerate = append(p.TCB.Tolerate, o)
		}
	}
	plain := outOfDate(attest.Toleration{})
	tests := map[string]struct {
		policy func(*attest.Policy)
		report func(*attest.Report)
		want   string // in the error; empty: accepted
		fix    string
	}{
		"before its end":       {policy: plain},
		"at its end":           {policy: plain, report: func(r *attest.Report) { r.At = until }},
		"a moment later":       {policy: plain, report: func(r *attest.Report) { r.At = until.Add(1) }, want: "tcb.tolerate: got OutOfDate, tolerated until 2026-01-11T00:00:00Z, which has passed (it is judged at 2026-01-11T00:00:00Z), want UpToDate or SWHardeningNeeded", fix: "update the machine's firmware and microcode, or, if that takes longer, move until of OutOfDate in tcb.tolerate"},
		"at no known instant":  {policy: plain, report: func(r *attest.Report) { r.At = time.Time{} }, want: "tcb.tolerate: got OutOfDate at an unknown instant"},
		"another status":       {policy: plain, report: func(r *attest.Report) { r.TCB.Status = attest.ConfigurationNeeded }, want: "tcb.accept: got ConfigurationNeeded, want UpToDate or SWHardeningNeeded or OutOfDate until 2026-01-11T00:00:00Z"},
		"revoked":              {policy: plain, report: func(r *attest.Report) { r.TCB.Platform = attest.Revoked }, want: "tcb.accept: got Revoked"},
		"revoked, by hand":     {policy: func(p *attest.Policy) { p.TCB.Tolerate = []attest.Toleration{{Status: attest.Revoked, Until: until}} }, report: func(r *attest.Report) { r.TCB.Status = attest.Revoked }, want: "tcb.accept: got Revoked"},
		"one that is accepted": {policy: plain, report: func(r *attest.Report) { r.TCB.Status, r.At = attest.UpToDate, day(20) }},
		"not enough by itself": {policy: plain, report: func(r *attest.Report) { r.Debug = true }, want: "builds[0].debug"},
		"its advisories":       {policy: outOfDate(attest.Toleration{Advisories: []string{"INTEL-SA-00615"}})},
		"other advisories":     {policy: outOfDate(attest.Toleration{Advisories: []string{}}), want: "tcb.tolerate: got INTEL-SA-00615, want no advisory but none"},
		"its advisories beside those of all": {
			policy: func(p *attest.Policy) {
				p.TCB.Advisories = []string{"INTEL-SA-00289"}
				outOfDate(attest.Toleration{Advisories: []string{"INTEL-SA-00615"}})(p)
			},
			report: func(r *attest.Report) { r.TCB.Advisories = []string{"INTEL-SA-00289", "INTEL-SA-00615"} },
		},
		"its advisories, without it": {
			policy: func(p *attest.Policy) {
				p.TCB.Advisories = []string{}
				outOfDate(attest.Toleration{Advisories: []string{"INTEL-SA-00615"}})(p)
			},
			report: func(r *attest.Report) { r.TCB.Status = attest.UpToDate }, want: "tcb.advisories: got INTEL-SA-00615",
		},
		"the advisories of all": {
			policy: func(p *attest.Policy) { p.TCB.Advisories = []string{}; plain(p) }, want: "tcb.advisories: got INTEL-SA-00615",
		},
		"a remedy, and what is short": {
			report: func(r *attest.Report) {
				r.TCB.Remedies = []string{"update the BIOS", "restart"}
				r.TCB.Shortfalls = []attest.Shortfall{{Part: "platform", Component: "sgxtcbcomponents[6]", Name: "BIOS", Have: 1, Want: 3}, {Part: "qe", Component: "isvsvn", Have: 2, Want: 8}}
			},
			want: "tcb.accept: got OutOfDate (sgxtcbcomponents[6] (BIOS) is 1, not 3, qe.isvsvn is 2, not 8), want",
			fix:  "update the BIOS; restart, or list OutOfDate in tcb.accept, or in tcb.tolerate until a date",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, r := anyPolicy(), newTEE().report
			r.At, r.TCB.Status, r.TCB.Advisories = day(5), attest.OutOfDate, []string{"INTEL-SA-00615"}
			apply(test.policy, p)
			apply(test.report, &r)
			err := p.Check(&r, nil)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, test.want)
			var refused *attest.RefusalError
			if !errors.As(err, &refused) || test.fix != "" && refused.Refusals[0].Fix != test.fix {
				t.Errorf("got %+v", refused)
			}
		})
	}
}

// A key is trusted no longer than its platform is tolerated, whether or not anything can be fetched then.
func TestKeyGoesWithItsToleration(t *testing.T) {
	b, tee, now, _, bound := live(t)
	tee.report.TCB.Status = attest.OutOfDate
	bound.Expires = day(60)
	cert := certify(t, tee, newP256(t), bound)
	b.publish(jwk(t, cert))
	p := anyPolicy()
	p.TCB.Tolerate = []attest.Toleration{{Status: attest.OutOfDate, Until: day(10)}}
	set := made(attest.NewKeySet(attest.Config{URL: b.URL, Policy: p, Platforms: platforms(tee), Client: b.Client(), Now: now.now}))
	fixed := made(attest.ParseKeys(t.Context(), jwkSet(jwk(t, cert)), attest.Config{Policy: p, Platforms: platforms(tee), Now: now.now}))
	now.set(day(10))
	for _, s := range []*attest.KeySet{set, fixed} {
		if _, err := s.Key(t.Context(), kidOf(cert)); err != nil {
			t.Fatal(err)
		}
	}
	now.advance(time.Second)
	const ended = "its platform is OutOfDate, which tcb.tolerate of the policy tolerated until 2026-01-11T00:00:00Z"
	for _, s := range []*attest.KeySet{set, fixed} {
		_, err := s.Key(t.Context(), kidOf(cert))
		wantError(t, err, ended)
	}
	// Collateral that can't be had does not prolong it, and judging again says why.
	tee.failure = fmt.Errorf("timeout: %w", attest.ErrUnavailable)
	now.advance(31 * time.Second)
	if _, err := set.Key(t.Context(), kidOf(cert)); err == nil {
		t.Error("trusted while nothing can be judged")
	}
	tee.failure = nil
	now.advance(31 * time.Second)
	_, err := set.Key(t.Context(), kidOf(cert))
	wantError(t, err, "tolerated until 2026-01-11T00:00:00Z, which has passed")
}

// The end of a toleration does not move the end of the collateral.
func TestCollateralEndsBeforeToleration(t *testing.T) {
	tee, now := newTEE(), newClock(day(1))
	tee.report.TCB.Status = attest.OutOfDate
	bound := binding()
	bound.Expires = day(60)
	cert := certify(t, tee, newP256(t), bound)
	p := anyPolicy()
	p.TCB.Tolerate = []attest.Toleration{{Status: attest.OutOfDate, Until: day(50)}}
	set := made(attest.ParseKeys(context.Background(), jwkSet(jwk(t, cert)), attest.Config{Policy: p, Platforms: platforms(tee), Now: now.now}))
	now.set(day(30).Add(time.Second))
	_, err := set.Key(t.Context(), kidOf(cert))
	wantError(t, err, "collateral that ended at 2026-01-31")
}

func TestPolicyWarnings(t *testing.T) {
	const sound = "builds:\n- {tee: sgx, mrenclave: " + encl32 + "}\n- {tee: tdx, mrtd: " + hex48 + ", rtmr1: " + hex48 + ", rtmr2: " + hex48 + "}\n"
	const numbered = "\ntcb: {evaluation_number: 17}"
	for policy, want := range map[string][]string{
		sound: {"tcb.evaluation_number: names no minimum"},
		sound + "tcb: {evaluation_number: 17, tolerate: [{status: OutOfDate, until: 2026-01-20}]}":      nil,
		"builds: [{tee: tdx, mrtd: " + hex48 + ", rtmr0: " + hex48 + "}]" + numbered:                    {"builds[0]: mrtd measures"},
		"builds: [{tee: sgx, mrenclave: " + encl32 + ", debug: true, sample_signer: true}]" + numbered:  {"builds[0].debug: ", "builds[0].sample_signer: "},
		sound + "tcb: {evaluation_number: 17, accept: [UpToDate, OutOfDate]}\nsimulated_root: root.pem": {"tcb.accept[1]: OutOfDate is accepted without an end", "simulated_root: "},
		sound + "tcb: {evaluation_number: 17, accept: [SWHardeningNeeded]}":                             {"tcb.accept: takes the place of the default and lacks UpToDate"},
		sound + "tcb: {evaluation_number: 17, tolerate: [{status: OutOfDate, until: 2026-01-09}]}":      {"tcb.tolerate[0].until: OutOfDate was tolerated until 2026-01-09T23:59:59Z, which has passed"},
	} {
		p, err := attest.ParsePolicy([]byte(policy))
		if err != nil {
			t.Fatal(err)
		}
		p.Rules = []string{rules1}
		got := p.Warnings(day(10))
		if len(got) != len(want) || slices.ContainsFunc(want, func(w string) bool {
			return !slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, w) })
		}) {
			t.Errorf("%s: got %q, want %q", policy, got, want)
		}
	}
}

// Who has the same build and machine can be the same issuer under rules of their own. The scheme original binds none.
func TestPolicyWarnsOfAnyRules(t *testing.T) {
	const build = "builds: [{tee: sgx, mrenclave: " + encl32 + "}]\ntcb: {evaluation_number: 17}\n"
	wantWarning(t, build+"rules: [\""+rules1+"\"]", "")
	wantWarning(t, build, "rules: names none, so any are accepted")
	wantWarning(t, build+"scheme: original", "")
}
