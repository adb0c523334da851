package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

// soon is how long before its end collateral deserves a look: Intel renews its own a month ahead.
const soon = 7 * 24 * time.Hour

// printPlatform says on what it runs, and how up to date each part of that is.
func (x *finding) printPlatform(w *report.Writer) {
	w.Heading("On what it runs")
	w.Row("TCB status", string(x.TCB.Status)+statusWords(x.TCB.Status))
	for _, l := range x.TCB.Levels {
		l.print(w, x.TCB.Shortfalls)
	}
	w.List("what helps", x.TCB.Remedies)
	w.Row("FMSPC", fmt.Sprintf("%s, certified by the %s CA", x.FMSPC, x.PCKCA))
	x.printCollateral(w)
}

// print writes the level of a part, and what keeps the part from its newest one.
func (l *levelJSON) print(w *report.Writer, all []shortfallJSON) {
	reached := string(l.Status)
	if !l.Date.IsZero() {
		reached += ", level of " + day(l.Date)
	}
	if len(l.Advisories) == 0 {
		reached += ", no advisories"
	}
	lines := []string{reached}
	if len(l.Advisories) > 0 {
		lines = append(lines, strings.Join(l.Advisories, " "))
	}
	for _, s := range all {
		if s.Part == l.Part {
			lines = append(lines, s.String())
		}
	}
	w.Row(partName(l.Part), lines...)
}

func (s shortfallJSON) String() string {
	return fmt.Sprintf("%s: has %d, newest level wants %d", attest.Shortfall(s).Title(), s.Have, s.Want)
}

func partName(part string) string {
	switch part {
	case tee.PartModule:
		return "TDX module"
	case tee.PartQE:
		return "QE"
	}
	return part
}

// statusWords says what a status means for whoever relies on the platform.
func statusWords(s attest.Status) string {
	switch s {
	case attest.UpToDate:
		return ": nothing is missing"
	case attest.SWHardeningNeeded:
		return ": nothing is missing, but the software must defend itself against the advisories"
	case attest.ConfigurationNeeded:
		return ": nothing is missing, but its configuration leaves something open"
	case attest.ConfigurationAndSWHardeningNeeded:
		return ": nothing is missing, but its configuration leaves something open, and the software must defend itself"
	case attest.OutOfDate:
		return ": updates are missing"
	case attest.OutOfDateConfigurationNeeded:
		return ": updates are missing, and its configuration leaves something open"
	case attest.Revoked:
		return ": its maker no longer vouches for it"
	}
	return ""
}

// printCollateral says until when this verdict can be had, and who brought what it rests on.
func (x *finding) printCollateral(w *report.Writer) {
	c := x.Collateral
	lines := []string{
		fmt.Sprintf("%s (from %s)", x.collateralUntil(), day(c.NotBefore)),
		x.collateralFrom(), fmt.Sprintf("evaluation number %d", x.TCB.EvaluationNumber),
	}
	if c.NotAfter.Sub(x.At) > soon {
		w.Row("collateral", lines...)
		return
	}
	w.Check(report.Warn, "collateral", lines...)
	for _, b := range x.Basis {
		if b.NotAfter.Equal(c.NotAfter) {
			w.Fix(b.What + " ends first: get newer collateral before that")
			break
		}
	}
}

// collateralUntil says when the collateral ends.
func (x *finding) collateralUntil() string {
	return fmt.Sprintf("until %s, %s left", day(x.Collateral.NotAfter), left(x.Collateral.NotAfter.Sub(x.At)))
}

// collateralFrom says who brought the collateral, and who signed it: what is believed is the signature alone.
func (x *finding) collateralFrom() string {
	from := map[string]string{
		fromEvidence: "came with the evidence", fromStaple: "stapled by the broker",
		fromService: "from the collateral service", fromFile: "from the file",
	}[x.Collateral.Source]
	if *x.Simulated {
		return from + ", signed under the development root"
	}
	return from + ", signed by Intel"
}

// Who brought collateral.
const (
	fromEvidence = "evidence"
	fromStaple   = "staple"
	fromService  = "service"
	fromFile     = "file"
)

// printBasis says what the facts rest on: who signed it, and from when to when that holds.
func printBasis(w *report.Writer, basis []basisJSON, simulated bool) {
	if len(basis) == 0 {
		return
	}
	root := "Intel's root"
	if simulated {
		root = "the development root"
	}
	w.Heading("What that rests on, below " + root + ", which is trusted")
	var rows [][]string
	for _, b := range basis {
		rows = append(rows, []string{basisName(b.What), b.SignedBy, day(b.NotBefore), day(b.NotAfter)})
	}
	w.Table([]string{"", "signed by", "from", "until"}, rows)
}

// basisName shortens what is plain without the word, so that a row fits.
func basisName(what string) string {
	if short, ok := strings.CutSuffix(what, " certificate"); ok && len(what) > len("root CA certificate") {
		return short
	}
	return what
}

// left says how long something lasts, in the largest unit of which there are two.
func left(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d minutes", max(0, d/time.Minute))
}
