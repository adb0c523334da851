package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/cmd/internal/platforms"
)

const fetchLong = `Fetch asks a service for what the hardware's maker publishes about one platform:
Intel about a family (--pcs), AMD about a chip (--kds). It verifies all of that
(chains, revocation lists, signatures, dates), and writes it as a JSON file for
--collateral and for the servers' configurations. Intel's has the form of
dcap-qvl's QuoteCollateralV3; AMD's has leaf, ca, root and crl, DER in base64.

The platform is that of evidence, a certificate, a key set or a broker's URL; of
Intel's, --fmspc, --pck-ca and --tee name it as well. A broker's URL tells the
platform alone: that the broker runs there is for "ctb inspect" to verify.

A file that exists is replaced if it is collateral, and not newer than what was
fetched; --force replaces any. The new file is there whole or not at all, so
this can run every day beside a server that watches the file.

Exit codes: 0 written; 1 it can't be had, or it is not genuine or not valid; 2
called wrongly.`

const fetchExample = `  # for the evidence of a broker, from Intel
  ctb collateral fetch https://broker.example.com --pcs intel -o collateral.json

  # for the chip that made this report, from AMD
  ctb collateral fetch report.bin --kds amd -o collateral.json

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
		Use:     "fetch [FILE|URL|-] --pcs WHERE|--kds WHERE",
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
	flags.Var(text{&f.root, "FILE"}, "root", "for development: a root certificate to trust in the place of the hardware makers'")
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
		return oneArg(`a file, a URL, or "-" for the standard input`)(cmd, args)
	case len(args) == 1 && named:
		return usagef("leave one of them out", "evidence and --fmspc, --pck-ca or --tee are both given, and each names a platform")
	case len(args) == 0 && named:
		if err := f.whole(); err != nil {
			return err
		}
	case len(args) == 0:
		return usagef("name a quote, a certificate, a key set or a broker's URL, or give --fmspc, --pck-ca and --tee", "which platform?")
	}
	if f.service.PCS == "" && (named || f.service.KDS == "") {
		return usagef("--pcs intel asks Intel itself, --kds amd AMD (for SEV-SNP)", "--pcs is missing: which collateral service?")
	}
	return nil
}

// fetched is collateral that was fetched and verified, and what it says of itself.
type fetched struct {
	text      []byte
	platform  string
	window    attest.Window
	edition   [2]string // which one it is of those that the maker publishes, after what that is called
	maker     string
	simulated bool
	// replaces tells why it is not to replace what a file has: that is about something else, or newer.
	replaces func(path string, old *evidence.File) error
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
	got, err := f.fetch(ctx, in, source, services, root, at)
	if err != nil {
		return err
	}
	if f.out == "" {
		_, err = s.out.Write(got.text)
	} else if err = f.replaceable(got); err == nil {
		err = writeFile(f.out, got.text)
	}
	if err != nil {
		return err
	}
	w := s.notes()
	w.Check(report.Pass, "written", or(f.out, "to the standard output"))
	w.Row("platform", got.platform)
	w.Row("valid", fmt.Sprintf("until %s, %s left", show(got.window.NotAfter), left(got.window.NotAfter.Sub(at))))
	w.Row(got.edition[0], got.edition[1])
	if got.simulated {
		w.Check(report.Warn, "simulated", "signed under a development root: it is no word of "+got.maker+"'s")
	}
	return w.Err()
}

// fetch asks the service of the platform that the flags name, or the evidence is of.
func (f *fetchFlags) fetch(ctx context.Context, in reader, source string, services *sources, root *x509.Certificate, at time.Time) (*fetched, error) {
	if source == "" {
		p, err := f.named()
		if err != nil {
			return nil, err
		}
		return services.fetchFamily(ctx, p, root, at)
	}
	intel, amd, brought, err := platformsOf(ctx, in, source, root, at)
	switch {
	case err != nil:
		return nil, err
	case amd != nil && len(services.snp.links) == 0:
		return nil, usagef("--kds amd asks AMD itself", "%s is of SEV-SNP, and --kds is missing: which key distribution service?", source)
	case amd != nil:
		return services.fetchChip(ctx, *amd, brought, root, at)
	case len(services.dcap.links) == 0:
		return nil, usagef("--pcs intel asks Intel itself", "%s is of Intel's, and --pcs is missing: which collateral service?", source)
	}
	return services.fetchFamily(ctx, *intel, root, at)
}

// platformsOf returns the one platform that the evidence at source is of, which is of either maker, and what collateral of AMD's
// the evidence brought. Of Intel's the root vouches for it: a verifier asks for collateral about no other.
func platformsOf(ctx context.Context, in reader, source string, root *x509.Certificate, at time.Time) (*dcap.Platform, *kds.Platform, *kds.Collateral, error) {
	source = keysAt(source)
	j := &judge{sources: new(sources)}
	subject, err := j.subject(ctx, in, source)
	if err != nil {
		return nil, nil, nil, err
	}
	j.staple = nil                                                // what the broker has is not what is asked for
	if e := subject.evidence; e != nil && e.Platform == tee.SNP { // who verifies it needs its collateral first
		p, err := kds.ParsePlatform(e.Quote)
		brought, absent := kds.ParseCollateral(e.Collateral)
		if absent == nil {
			p = p.Of(brought.Leaf)
		}
		return nil, &p, brought, err
	}
	if e := subject.evidence; e != nil && e.Platform == tee.Nitro {
		return nil, nil, nil, noneOfNitro(source)
	}
	var intel asked[dcap.Platform, dcap.Collateral]
	var amd asked[kds.Platform, kds.Collateral]
	j.platforms = platforms.Of(root, &intel, &amd)
	findings, err := j.findings(ctx, subject, looking{at: at, evidenceAt: at})
	switch many := len(intel.platforms) + len(amd.platforms); {
	case err != nil:
		return nil, nil, nil, fmt.Errorf("%s: %w", source, err)
	case many > 1:
		return nil, nil, nil, usagef("choose one: a certificate of it, or --fmspc, --pck-ca and --tee", "%s: it is of several platforms: %v %v", source, intel.platforms, amd.platforms)
	case len(intel.platforms) == 1:
		return &intel.platforms[0], nil, nil, nil
	case len(amd.platforms) == 1:
		return nil, &amd.platforms[0], nil, nil
	case findings[0].TEE == tee.NitroEnclave:
		return nil, nil, nil, noneOfNitro(source)
	}
	return nil, nil, nil, fmt.Errorf("%s: no platform is known of it: %s", source, strings.Join(findings[0].Reasons, "; "))
}

func noneOfNitro(source string) error {
	return fmt.Errorf("%s: the evidence of a Nitro Enclave brings all that it is judged by: there is no collateral", source)
}

// asked is a source that has nothing, and notes what it was asked for.
type asked[P comparable, C any] struct{ platforms []P }

func (a *asked[P, C]) Collateral(_ context.Context, p P) (*C, error) {
	if !slices.Contains(a.platforms, p) {
		a.platforms = append(a.platforms, p)
	}
	return nil, dcap.ErrNoCollateral
}

// replaceable refuses to replace a file that is something else, or that knows more.
func (f *fetchFlags) replaceable(got *fetched) error {
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
	return got.replaces(f.out, old)
}

// notReplaced says that a file is about another platform than what would replace it.
func notReplaced(path string, about any) error {
	return usagef("name another file, or give --force", "--out: %s is about another platform, %v", path, about)
}
