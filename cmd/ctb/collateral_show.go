package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

const showLong = `Show says what a file of collateral is about, who signed each part of it and
from when to when that holds, and what it says of platforms: of Intel's the TCB
levels, from the newest on; of AMD's the chip, and whether it has the revocation
list.

It reads what a broker serves at /.well-known/attestation as well. All of it is
verified, as for evidence. Collateral that is genuine, but not at
this instant (it ended, or has not begun), is shown too.

--json writes valid, genuine, reasons[], at, simulated, tee, (Intel) fmspc,
pck_ca, pceid, issued, evaluation_number, tcb_evaluation, qe_evaluation,
not_before, not_after, (AMD) sev_snp: {product, signed_by, chip_id, csp, key,
crl}, basis: [{what, signed_by, not_before, not_after}], (Intel) levels: [{part,
status, date, advisories[]}].

Exit codes: 0 valid; 1 not; 2 called wrongly, such as with a file that is
something else.`

const showExample = `  ctb demo --dir demo-files
  ctb collateral show demo-files/collateral.json --root demo-files/root.pem

  # what a broker staples to its evidence
  ctb collateral show https://broker.example.com/.well-known/attestation`

// shownJSON is what show says, and its JSON form: names are stable, and
// members are only ever added. But for the first four, they are there exactly if it is genuine.
type shownJSON struct {
	Valid   bool      `json:"valid"`   // genuine, and at this instant
	Genuine bool      `json:"genuine"` // signed below the root, at some instant
	Reasons []string  `json:"reasons"` // why not valid; never null
	At      time.Time `json:"at"`

	Simulated        *bool     `json:"simulated,omitempty"`
	TEE              string    `json:"tee,omitempty"`
	FMSPC            string    `json:"fmspc,omitempty"`
	PCKCA            string    `json:"pck_ca,omitempty"`
	PCEID            string    `json:"pceid,omitempty"`
	Issued           time.Time `json:"issued,omitzero"` // of the TCB info
	EvaluationNumber uint32    `json:"evaluation_number,omitempty"`
	TCBEvaluation    uint32    `json:"tcb_evaluation,omitempty"`
	QEEvaluation     uint32    `json:"qe_evaluation,omitempty"`
	*windowJSON
	Chip   *chipJSON   `json:"sev_snp,omitempty"`
	Basis  []basisJSON `json:"basis,omitempty"`
	Levels []levelJSON `json:"levels,omitempty"`

	fix string
}

func newCollateralShow(s streams) *cobra.Command {
	var at instant
	var rootFile string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show FILE|URL|-",
		Short:   "Show what a file of collateral says, and whether it is valid",
		Long:    showLong,
		Example: showExample,
		Args:    oneArg("a file of collateral"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := readRoot(rootFile)
			if err != nil {
				return err
			}
			return collateralShow(cmd.Context(), s, args[0], root, at.or(time.Now()), asJSON)
		},
		ValidArgsFunction: completeFiles("json"),
	}
	at.register(cmd)
	cmd.Flags().Var(text{&rootFile, "FILE"}, "root", "for development: a root certificate to trust in the place of the hardware makers'")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	completeFlag(cmd, "root", "pem", "der", "crt", "cer")
	return cmd
}

func collateralShow(ctx context.Context, s streams, source string, root *x509.Certificate, at time.Time, asJSON bool) error {
	data, err := reader{streams: s}.evidence(ctx, source)
	if err != nil {
		return err
	}
	if what, reader := insteadOfCollateral(data); what != "" {
		return usagef(reader, "%s is no collateral: it is %s", source, what)
	}
	x := inspectCollateral(data, root, at)
	if asJSON {
		err = writeJSON(s.out, x)
	} else {
		err = x.print(s.report(), source)
	}
	if err == nil && !x.Valid {
		err = errNo
	}
	return err
}

// inspectCollateral verifies collateral at the instant; if it is not valid then, at one at which all of it may be.
func inspectCollateral(data []byte, root *x509.Certificate, at time.Time) *shownJSON {
	x := &shownJSON{Reasons: []string{}, At: at.UTC().Truncate(time.Second)}
	c, err := collateralIn(data)
	if err != nil {
		return x.notValid(err)
	}
	if c.SNP != nil {
		return x.snpFacts(c.SNP, root, at)
	}
	return x.dcapFacts(c.DCAP, root, at)
}

// simulatedFix says what may be wrong with collateral below a root that is not the maker's.
const simulatedFix = "if it is of simulated hardware, name its root: --root FILE"

func (x *shownJSON) notValid(err error) *shownJSON {
	x.Reasons = append(x.Reasons, err.Error())
	return x
}

// lapsed says which part of genuine collateral keeps it from being valid: the first that ended, or the last
// to begin. It returns "" if all of them are valid.
func lapsed(basis []attest.Basis, at time.Time) string {
	if len(basis) == 0 {
		return ""
	}
	judged := ", judged at " + at.UTC().Format(time.RFC3339)
	first := slices.MinFunc(basis, func(a, b attest.Basis) int { return a.Window.NotAfter.Compare(b.Window.NotAfter) })
	if at.After(first.Window.NotAfter) {
		return first.What + ": not valid after " + first.Window.NotAfter.UTC().Format(time.RFC3339) + judged
	}
	last := slices.MaxFunc(basis, func(a, b attest.Basis) int { return a.Window.NotBefore.Compare(b.Window.NotBefore) })
	if at.Before(last.Window.NotBefore) {
		return last.What + ": not valid before " + last.Window.NotBefore.UTC().Format(time.RFC3339) + judged
	}
	return ""
}

func (x *shownJSON) print(w *report.Writer, source string) error {
	w.Title("Collateral in " + source)
	if !x.Genuine {
		w.Check(report.Fail, "genuine", x.Reasons...)
		if x.fix != "" {
			w.Fix(x.fix)
		}
		w.Verdict(report.Fail, "not genuine")
		return w.Err()
	}
	maker := platformOf(x.TEE).maker
	who := maker + " signed all of it"
	if *x.Simulated {
		who = "under a development root: it is no word of " + maker + "'s"
	}
	w.Check(report.Pass, "genuine", who)
	x.printValidity(w)
	w.Heading("What it is about")
	w.Row("TEE", teeName(x.TEE))
	if x.Chip != nil {
		x.printChip(w)
	} else {
		x.printFamily(w)
	}
	printBasis(w, x.Basis, maker, *x.Simulated)
	x.printLevels(w)
	if x.Valid {
		w.Verdict(report.Pass, "valid until "+show(x.NotAfter))
	} else {
		w.Verdict(report.Fail, "genuine, but not valid at "+show(x.At))
	}
	return w.Err()
}

func (x *shownJSON) printValidity(w *report.Writer) {
	span := fmt.Sprintf("%s to %s", show(x.NotBefore), show(x.NotAfter))
	remains := x.NotAfter.Sub(x.At)
	switch {
	case !x.Valid:
		w.Check(report.Fail, "valid", append([]string{span}, x.Reasons...)...)
		w.Fix("get collateral of this time: ctb collateral fetch")
	case remains <= soon:
		w.Check(report.Warn, "valid", span, left(remains)+" left")
		w.Fix("get newer collateral before it ends: ctb collateral fetch")
	default:
		w.Check(report.Pass, "valid", span, left(remains)+" left")
	}
}
