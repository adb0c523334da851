package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// collateralFlags name where collateral comes from. No network is asked unless one of them says so.
type collateralFlags struct {
	collateral string // a file or a URL
	service    evidence.Source
}

func (f *collateralFlags) register(cmd *cobra.Command) {
	cmd.Flags().Var(text{&f.collateral, "FILE|URL"}, "collateral", "the collateral of evidence that brings none")
	completeFlag(cmd, "collateral", "json")
	f.registerService(cmd)
	cmd.Flags().Var(text{&f.service.Cache, "DIR"}, "cache", "keep what the services say in this directory")
}

// registerService registers the flags of the collateral service alone.
func (f *collateralFlags) registerService(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(text{&f.service.PCS, "WHERE"}, "pcs", "for SGX and TDX, ask a collateral service: intel; qcnl, as /etc/sgx_default_qcnl.conf says; an https URL; or the path of a qcnl.conf")
	flags.Var(text{&f.service.Update, "CHANNEL"}, "pcs-update", "Intel's update channel: early, or standard (the default), which leaves time to update machines")
	flags.Var(text{&f.service.APIKeyFile, "FILE"}, "pcs-key-file", "a file with the API key of the service of --pcs, if it wants one")
	flags.Var(text{&f.service.KDS, "WHERE"}, "kds", "for SEV-SNP, ask a key distribution service: amd, or an https URL")
	flags.Var(text{&f.service.CA, "FILE"}, "pcs-ca", "the certificates (PEM) that the services must be known by (default: the public CAs)")
	completeWords(cmd, "pcs", evidence.Intel, evidence.QCNL)
	completeWords(cmd, "kds", evidence.AMD)
	completeWords(cmd, "pcs-update", evidence.Standard, evidence.Early)
	completeFlag(cmd, "pcs-ca", "pem", "crt", "cer")
}

// any tells whether one of the flags was given.
func (f *collateralFlags) any() bool {
	s := &f.service
	return f.collateral+s.PCS+s.KDS+s.Update+s.APIKeyFile+s.CA+s.Cache != ""
}

// flagOf are the flags by the keys of evidence.Source.
var flagOf = map[string]string{
	"pcs": "--pcs", "kds": "--kds", "update": "--pcs-update", "api_key_file": "--pcs-key-file", "ca_path": "--pcs-ca", "cache": "--cache",
}

// open reads the files that the flags name. Of the network, only a URL of --collateral is asked here.
func (f *collateralFlags) open(ctx context.Context, in reader, root *x509.Certificate, at time.Time) (*sources, error) {
	s := new(sources)
	if err := s.addService(f.service, in, root, at); err != nil {
		return nil, err
	}
	if f.collateral == "-" {
		return nil, usagef("name a file or a URL", "--collateral can't be the standard input")
	}
	if f.collateral != "" {
		data, err := in.read(ctx, f.collateral)
		if err != nil {
			return nil, fmt.Errorf("--collateral: %w", err)
		}
		c, err := collateralIn(data)
		if err != nil {
			return nil, usagef(`want what "ctb collateral fetch" writes (of Intel's: dcap-qvl's QuoteCollateralV3)`, "--collateral: %s: %w", f.collateral, err)
		}
		s.addFile(c)
	}
	return s, nil
}

// collateralIn reads a file of collateral, or what a broker staples to its evidence.
func collateralIn(data []byte) (*evidence.File, error) {
	a, err := attest.ParseAttestation(data)
	if err != nil {
		return evidence.ParseFile(data)
	}
	c := new(evidence.File)
	if text, ok := a.Collateral[tee.DCAP]; ok {
		if c.DCAP, err = dcap.ParseCollateral(text); err != nil {
			return nil, err
		}
	}
	if text, ok := a.Collateral[tee.SNP]; ok {
		if c.SNP, err = kds.ParseCollateral(text); err != nil {
			return nil, err
		}
	}
	if c.DCAP == nil && c.SNP == nil {
		return nil, errors.New("this broker staples no collateral to its evidence")
	}
	return c, nil
}

func (s *sources) addService(service evidence.Source, in reader, root *x509.Certificate, at time.Time) error {
	service.Now = func() time.Time { return at }
	warnings, err := service.Warnings()
	if err == nil {
		var c *evidence.Collateral
		if c, err = service.Open(root); err == nil {
			s.addOpen(c, in)
		}
	}
	var fault *evidence.KeyError
	switch {
	case errors.Is(err, evidence.ErrNoService) && errors.As(err, &fault):
		if missing := flagOf[fault.Key]; missing == "--pcs-ca" || missing == "--cache" {
			return usagef("--pcs intel asks Intel itself, --kds amd AMD", "%s is about collateral services, and neither --pcs nor --kds is given: which one?", missing)
		}
		return usagef("--pcs intel asks Intel itself", "%s is about a collateral service, and --pcs is missing: which one?", flagOf[fault.Key])
	case errors.As(err, &fault):
		return usagef("", "%s: %w", flagOf[fault.Key], fault.Err)
	case errors.Is(err, fs.ErrNotExist):
		return usagef(serviceHint(service.PCS), "%w", err)
	case err != nil:
		return usagef("", "%w", err)
	}
	for _, text := range warnings {
		in.note("%s", text)
	}
	return nil
}

// whose says who brought the collateral about a platform that a report rests on.
func (j *judge) whose(about string) string {
	switch name := j.sources.whose(about); {
	case name != "":
		return name
	case j.staple != nil:
		return fromStaple
	}
	return fromEvidence
}

// note tells the caller on the standard error what is no part of the answer.
func (r reader) note(format string, args ...any) {
	text := report.Clean(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; "))
	fmt.Fprintf(r.err, "note: %s\n", text)
}

// stapled asks the broker, if source is the URL of a broker's keys, for the collateral that it serves
// beside them. It returns nil if there is none: other sources may have it.
func (r reader) stapled(ctx context.Context, source string) *attest.Attestation {
	if !isURL(source) || !strings.HasSuffix(source, keysPath) {
		return nil
	}
	// Without --ca, whoever answers will do: the maker signs every byte that is believed.
	a, err := attest.FetchAttestation(ctx, r.client, source)
	if err != nil {
		if !errors.Is(err, attest.ErrNoAttestation) {
			r.note("the broker's own collateral can't be had: %v", err)
		}
		return nil
	}
	return a
}
