package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

// soon is how long before its end collateral deserves a look: Intel renews its own a month ahead.
const soon = 7 * 24 * time.Hour

// printCollateral says until when this verdict can be had, and who brought what it rests on.
func (x *finding) printCollateral(w *report.Writer, more ...string) {
	c := x.Collateral
	lines := append([]string{fmt.Sprintf("%s (from %s)", x.collateralUntil(), day(c.NotBefore)), x.collateralFrom()}, more...)
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
	return from + ", signed by " + platformOf(x.TEE).maker
}

// Who brought collateral.
const (
	fromEvidence = "evidence"
	fromStaple   = "staple"
	fromService  = "service"
	fromFile     = "file"
)

// printBasis says what the facts rest on: who signed it, and from when to when that holds.
func printBasis(w *report.Writer, basis []basisJSON, maker string, simulated bool) {
	if len(basis) == 0 {
		return
	}
	root := maker + "'s root"
	if simulated {
		root = "the development root"
	}
	w.Heading("What that rests on, below " + root + ", which is trusted")
	var rows [][]string
	for _, b := range basis {
		rows = append(rows, []string{basisName(b.What), caName(b.SignedBy), day(b.NotBefore), day(b.NotAfter)})
	}
	w.Table([]string{"", "signed by", "from", "until"}, rows)
}

// caName shortens the names of AWS's CAs below the root, and of those of nitrotest, which all end with the same.
func caName(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, ".aws.nitro-enclaves"), ".simulated.nitro-enclaves")
}

// basisName shortens what is plain without the word, so that a row fits. Whom a certificate of AWS's is of, the next row says.
func basisName(what string) string {
	for _, short := range []string{"CA", "security module"} {
		if strings.HasPrefix(what, "certificate of the "+short+" ") {
			return short
		}
	}
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
