package main

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// dcapFacts verifies Intel's collateral, and copies what it says of itself.
func (x *shownJSON) dcapFacts(c *dcap.Collateral, root *x509.Certificate, at time.Time) *shownJSON {
	v := &dcap.Verifier{Root: root}
	j, err := v.Inspect(c, at)
	if err != nil {
		x.Reasons = append(x.Reasons, err.Error())
		if errors.Is(err, dcap.ErrUntrustedRoot) && root == nil {
			x.fix = simulatedFix
		}
		if j, err = v.Inspect(c, begins(c)); err != nil {
			return x
		}
		x.Reasons[0] = or(lapsed(j.Basis, at), x.Reasons[0])
	}
	x.Genuine, x.Valid = true, len(x.Reasons) == 0
	x.Simulated, x.TEE, x.FMSPC, x.PCKCA = new(j.Simulated), j.Platform.TEE, hex.EncodeToString(j.Platform.FMSPC[:]), j.Platform.CA
	x.PCEID, x.Issued = hex.EncodeToString(j.PCEID[:]), j.Issued.UTC()
	x.EvaluationNumber, x.TCBEvaluation, x.QEEvaluation = j.EvaluationNumber, j.TCBEvaluation, j.QEEvaluation
	x.windowJSON = new(windowOf(j.Window))
	x.Basis = basisFacts(j.Basis)
	x.Levels = knownLevels(c)
	return x
}

// begins is when the last of the signed parts of collateral begins: if all of it is ever valid, then there.
// It is read without believing it, to ask the verifier about that instant.
func begins(c *dcap.Collateral) time.Time {
	var latest time.Time
	for _, text := range []string{c.TCBInfo, c.QEIdentity} {
		var doc struct {
			IssueDate time.Time `json:"issueDate"`
		}
		if json.Unmarshal([]byte(text), &doc) == nil && doc.IssueDate.After(latest) {
			latest = doc.IssueDate
		}
	}
	for _, der := range [][]byte{c.RootCACRL, c.PCKCRL} {
		if list, err := x509.ParseRevocationList(der); err == nil && list.ThisUpdate.After(latest) {
			latest = list.ThisUpdate
		}
	}
	return latest
}

// signedLevels are the members of TCB info and QE identity that say which levels there are (Intel PCS
// API v4). They are read only from collateral that was verified.
type signedLevels struct {
	Levels []struct {
		Date       time.Time     `json:"tcbDate"`
		Status     attest.Status `json:"tcbStatus"`
		Advisories []string      `json:"advisoryIDs"`
	} `json:"tcbLevels"`
	Modules []struct {
		ID string `json:"id"`
		signedLevels
	} `json:"tdxModuleIdentities"`
}

// knownLevels are the levels that verified collateral tells apart, the newest first in each part.
func knownLevels(c *dcap.Collateral) []levelJSON {
	var tcb, qe signedLevels
	if json.Unmarshal([]byte(c.TCBInfo), &tcb) != nil || json.Unmarshal([]byte(c.QEIdentity), &qe) != nil {
		return nil
	}
	all := tcb.of(tee.PartPlatform)
	for _, m := range tcb.Modules {
		all = append(all, m.of(strings.ToLower(m.ID))...)
	}
	return append(all, qe.of(tee.PartQE)...)
}

// of lists the levels of one part. Several that differ in components alone are one.
func (s *signedLevels) of(part string) []levelJSON {
	var list []levelJSON
	for _, l := range s.Levels {
		level := levelJSON{part, l.Status, l.Date.UTC(), slices.Sorted(slices.Values(append([]string{}, l.Advisories...)))}
		if level.Advisories == nil {
			level.Advisories = []string{}
		}
		same := func(o levelJSON) bool {
			return o.Status == level.Status && o.Date.Equal(level.Date) && slices.Equal(o.Advisories, level.Advisories)
		}
		if !slices.ContainsFunc(list, same) {
			list = append(list, level)
		}
	}
	return list
}

func (x *shownJSON) printFamily(w *report.Writer) {
	w.Row("FMSPC", fmt.Sprintf("%s, certified by the %s CA; PCEID %s", x.FMSPC, x.PCKCA, x.PCEID))
	w.Row("issued", show(x.Issued))
	w.Row("evaluation", fmt.Sprintf("number %d (TCB info), %d (QE identity)", x.TCBEvaluation, x.QEEvaluation))
}

// printLevels lists what the maker says of platforms, part by part.
func (x *shownJSON) printLevels(w *report.Writer) {
	part := ""
	for _, l := range x.Levels {
		if l.Part != part {
			part = l.Part
			w.Heading("Levels of the " + partInWords(part))
		}
		lines := []string{string(l.Status)}
		if len(l.Advisories) > 0 {
			lines = append(lines, strings.Join(l.Advisories, " "))
		}
		w.Row(day(l.Date), lines...)
	}
}

func partInWords(part string) string {
	switch part {
	case tee.PartQE:
		return "quoting enclave"
	case tee.PartPlatform:
		return part
	}
	return "TDX module " + strings.ToUpper(part)
}

// whole wants all the flags that name a platform.
func (f *fetchFlags) whole() error {
	for _, one := range []struct{ value, flag, hint string }{
		{f.fmspc, "--fmspc", `12 hex digits, which "ctb inspect" shows of a quote`},
		{f.pckCA, "--pck-ca", "processor or platform"},
		{f.tee, "--tee", "sgx or tdx"},
	} {
		if one.value == "" {
			return usagef("want "+one.hint, "%s is missing: a platform is named by --fmspc, --pck-ca and --tee together", one.flag)
		}
	}
	return nil
}

// named reads the flags that name a platform.
func (f *fetchFlags) named() (p dcap.Platform, err error) {
	raw, err := hex.DecodeString(f.fmspc)
	if err != nil || len(raw) != len(p.FMSPC) {
		return p, usagef("such as 00606a000000", "--fmspc: got %q, want 12 hex digits", f.fmspc)
	}
	if f.pckCA != "processor" && f.pckCA != "platform" {
		return p, usagef("", "--pck-ca: got %q, want processor or platform", f.pckCA)
	}
	if f.tee != "sgx" && f.tee != "tdx" {
		return p, usagef("", "--tee: got %q, want sgx or tdx", f.tee)
	}
	return dcap.Platform{TEE: f.tee, FMSPC: [6]byte(raw), CA: f.pckCA}, nil
}

// fetchFamily asks for the collateral of a family of Intel's platforms.
func (s *sources) fetchFamily(ctx context.Context, p dcap.Platform, root *x509.Certificate, at time.Time) (*fetched, error) {
	c, err := s.dcap.Collateral(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("collateral of the platform %v: %w", p, err)
	}
	// The cache has verified it; once more, for what it says of itself.
	v := &dcap.Verifier{Root: root}
	now, err := v.Inspect(c, at)
	if err != nil {
		return nil, err
	}
	return &fetched{
		text: c.Marshal(), platform: now.Platform.String(), window: now.Window, maker: "Intel", simulated: now.Simulated,
		edition: [2]string{"evaluation", fmt.Sprintf("number %d, issued %s", now.EvaluationNumber, show(now.Issued))},
		replaces: func(path string, old *evidence.File) error {
			if old.DCAP == nil {
				return notReplaced(path, "of AMD's")
			}
			before, err := v.Inspect(old.DCAP, at)
			switch {
			case err != nil:
				return nil // it is of no use any more
			case before.Platform != now.Platform:
				return notReplaced(path, before.Platform)
			case before.EvaluationNumber > now.EvaluationNumber || before.Issued.After(now.Issued):
				return fmt.Errorf("%s is newer than what the service has (evaluation number %d, issued %s; there %d, issued %s), and is not replaced: --force does",
					path, before.EvaluationNumber, show(before.Issued), now.EvaluationNumber, show(now.Issued))
			}
			return nil
		},
	}, nil
}
