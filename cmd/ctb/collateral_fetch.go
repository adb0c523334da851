package main

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

const fetchLong = `Fetch asks a collateral service for what Intel publishes about one family of
platforms, verifies all of it (chains, revocation lists, signatures, dates), and
writes it as a file (dcap-qvl's QuoteCollateralV3, JSON) for --collateral and
for the servers' configurations.

The platform is that of a quote, a certificate, a key set or a broker's URL; or
--fmspc, --pck-ca and --tee name it. A broker's URL tells the platform alone:
that the broker runs there is for "ctb inspect" to verify.

A file that exists is replaced if it is collateral, and not newer than what was
fetched; --force replaces any. The new file is there whole or not at all, so
this can run every day beside a server that watches the file.

Exit codes: 0 written; 1 it can't be had, or it is not genuine or not valid; 2
called wrongly.`

const fetchExample = `  # for the evidence of a broker, from Intel
  ctb collateral fetch https://broker.example.com --pcs intel -o collateral.json

  # for a family of platforms, as the machine's own configuration says
  ctb collateral fetch --fmspc 00606a000000 --pck-ca platform --tee sgx \
      --pcs qcnl -o collateral.json`

// fetchFlags is what the command line says.
type fetchFlags struct {
	collateralFlags
	fmspc, pckCA, tee string
	root, out         string
	force             bool
	at                instant
}

func newCollateralFetch(s streams) *cobra.Command {
	var f fetchFlags
	cmd := &cobra.Command{
		Use:     "fetch [FILE|URL|-] --pcs WHERE",
		Short:   "Fetch collateral, verify it and write it to a file",
		Long:    fetchLong,
		Example: fetchExample,
		Args:    f.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			return collateralFetch(cmd.Context(), s, slices.Concat(args, []string{""})[0], f)
		},
		ValidArgsFunction: completeFiles(evidenceFiles...),
	}
	flags := cmd.Flags()
	f.registerService(cmd)
	flags.Var(text{&f.fmspc, "HEX"}, "fmspc", "the family of the platform: 12 hex digits")
	flags.Var(text{&f.pckCA, "CA"}, "pck-ca", "which of Intel's CAs certified the platform: processor or platform")
	flags.Var(text{&f.tee, "TEE"}, "tee", "sgx or tdx")
	flags.VarP(text{&f.out, "FILE"}, "out", "o", "write here (default the standard output)")
	flags.BoolVar(&f.force, "force", false, "replace the file whatever it is")
	flags.Var(text{&f.root, "FILE"}, "root", "for development: a root certificate to trust in the place of Intel's")
	flags.Var(&f.at, "at", "verify at this instant (default now)")
	completeWords(cmd, "pck-ca", "processor", "platform")
	completeWords(cmd, "tee", "sgx", "tdx")
	completeFlag(cmd, "out", "json")
	completeFlag(cmd, "root", "pem", "der", "crt", "cer")
	return cmd
}

// args wants evidence, or the flags that name a platform in its place.
func (f *fetchFlags) args(cmd *cobra.Command, args []string) error {
	named := f.fmspc != "" || f.pckCA != "" || f.tee != ""
	switch {
	case len(args) > 1 || len(args) == 1 && args[0] == "":
		return usagef("usage: "+cmd.UseLine(), "got %d arguments, want one: a file, a URL, or \"-\" for the standard input", len(args))
	case len(args) == 1 && named:
		return usagef("leave one of them out", "evidence and --fmspc, --pck-ca or --tee are both given, and each names a platform")
	case len(args) == 0 && named:
		if err := f.whole(); err != nil {
			return err
		}
	case len(args) == 0:
		return usagef("name a quote, a certificate, a key set or a broker's URL, or give --fmspc, --pck-ca and --tee", "which platform?")
	}
	if f.service.PCS == "" {
		return usagef("--pcs intel asks Intel itself", "--pcs is missing: which collateral service?")
	}
	return nil
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

func collateralFetch(ctx context.Context, s streams, source string, f fetchFlags) error {
	in := reader{streams: s}
	root, err := readRoot(f.root)
	if err != nil {
		return err
	}
	at := f.at.or(time.Now())
	services := new(sources)
	if err := services.addService(f.service, in, root, at); err != nil {
		return err
	}
	p, err := f.named()
	if source != "" {
		p, err = platformOf(ctx, in, source, root, at)
	}
	if err != nil {
		return err
	}
	c, err := services.Collateral(ctx, p)
	if err != nil {
		return fmt.Errorf("collateral of the platform %v: %w", p, err)
	}
	// The cache has verified it; once more, for what it says of itself.
	judged, err := (&dcap.Verifier{Root: root}).Inspect(c, at)
	if err != nil {
		return err
	}
	if f.out == "" {
		_, err = s.out.Write(c.Marshal())
	} else if err = f.replaceable(judged, root, at); err == nil {
		err = writeFile(f.out, c.Marshal())
	}
	if err != nil {
		return err
	}
	w := s.notes()
	w.Check(report.Pass, "written", or(f.out, "to the standard output"))
	w.Row("platform", judged.Platform.String())
	w.Row("valid", fmt.Sprintf("until %s, %s left", show(judged.Window.NotAfter), left(judged.Window.NotAfter.Sub(at))))
	w.Row("evaluation", fmt.Sprintf("number %d, issued %s", judged.EvaluationNumber, show(judged.Issued)))
	if judged.Simulated {
		w.Check(report.Warn, "simulated", "signed under a development root: it is no word of Intel's")
	}
	return w.Err()
}

// platformOf returns the one platform that the evidence at source is of. The root vouches for it: a
// verifier asks for collateral about no other.
func platformOf(ctx context.Context, in reader, source string, root *x509.Certificate, at time.Time) (p dcap.Platform, err error) {
	source = keysAt(source)
	data, err := in.evidence(ctx, source)
	if err != nil {
		return p, err
	}
	subject, err := recognise(data)
	if err != nil {
		return p, fmt.Errorf("%s: %w", source, err)
	}
	var asked asked
	j := &judge{platforms: evidence.Platforms(root, &asked), sources: new(sources)}
	findings, err := j.findings(ctx, subject, looking{at: at, evidenceAt: at})
	switch {
	case err != nil:
		return p, fmt.Errorf("%s: %w", source, err)
	case len(asked.platforms) == 0:
		return p, fmt.Errorf("%s: no platform is known of it: %s", source, strings.Join(findings[0].Reasons, "; "))
	case len(asked.platforms) > 1:
		return p, usagef("choose one, by --fmspc, --pck-ca and --tee", "%s: it is of several platforms: %v", source, asked.platforms)
	}
	return asked.platforms[0], nil
}

// asked is a [dcap.Source] that has nothing, and notes what it was asked for.
type asked struct{ platforms []dcap.Platform }

func (a *asked) Collateral(_ context.Context, p dcap.Platform) (*dcap.Collateral, error) {
	if !slices.Contains(a.platforms, p) {
		a.platforms = append(a.platforms, p)
	}
	return nil, dcap.ErrNoCollateral
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

// replaceable refuses to replace a file that is something else, or that knows more.
func (f *fetchFlags) replaceable(now *dcap.Judged, root *x509.Certificate, at time.Time) error {
	if f.force || !exists(f.out) {
		return nil
	}
	old, err := evidence.ReadCollateral(f.out)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return usagef("", "--out: %w", err)
		}
		return usagef("name another file, or give --force", "--out: %s exists and is no collateral", f.out)
	}
	before, err := (&dcap.Verifier{Root: root}).Inspect(old, at)
	if err != nil {
		return nil // it is of no use any more
	}
	if before.Platform != now.Platform {
		return usagef("name another file, or give --force", "--out: %s is about another platform, %v", f.out, before.Platform)
	}
	if before.EvaluationNumber > now.EvaluationNumber || before.Issued.After(now.Issued) {
		return fmt.Errorf("%s is newer than what the service has (evaluation number %d, issued %s; there %d, issued %s), and is not replaced: --force does",
			f.out, before.EvaluationNumber, show(before.Issued), now.EvaluationNumber, show(now.Issued))
	}
	return nil
}
