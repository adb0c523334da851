package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/attest"
)

const inspectLong = `Inspect shows the facts of attestation evidence, and whether it is genuine:
whether the hardware's maker vouches for it, at an instant, by its signatures,
revocation lists and TCB levels. Of a platform that lags behind it says what it
lacks and what would help; and of everything, who signed it and until when.

What it reads, recognised by its content:
  a quote         Intel SGX (versions 3, 4, 5) or TDX (4, 5); raw, hex, base64
  a certificate   with the evidence of its key inside; PEM or DER
  a key set       JSON Web Key set, each key with such a certificate in "x5c"
  an attestation  a broker's keys with their collateral, as it serves them at
                  /.well-known/attestation
from a file, a URL, or "-" for the standard input. A broker's URL is enough.

Whether evidence is genuine and whether it is yours are two questions. Without
--policy, inspect answers the first, and shows what a default policy would
refuse. With one, it answers both.

Evidence is judged by collateral, what the maker publishes about the platform.
The maker signs all of it, so it may come from anywhere. It is taken, in this
order, from the evidence, from the broker whose URL is inspected (which staples
it to its keys), from the service of --pcs, from --collateral. No service is
asked unless --pcs names it.

--json writes one object, or for several keys {"keys": […]} with one for each:
  genuine, accepted, reasons[], policy, at, unavailable (it can't be told, for
    want of collateral), tee, simulated, debug,
  (SGX) mrenclave, mrsigner, isvprodid, isvsvn,
  (TDX) mrtd, rtmr0…3, mrconfigid, mrowner, mrownerconfig, mrseam,
    mrservicetd (TDX 1.5), td_attributes, xfam,
  report_data, fmspc, pck_ca,
  tcb: {status, platform, module, qe, advisories[], evaluation_number,
    levels: [{part, status, date, advisories[]}],
    shortfalls: [{part, component, name, have, want}], remedies[]},
  collateral: {not_before, not_after, source}, source being evidence, staple,
    service or file,
  basis: [{what, signed_by, not_before, not_after}],
  binding: {scheme, use, issuer, rules_digest, key_thumbprint, issued, expires},
  kid, alg, certificate: {not_before, not_after, valid},
  refusals: [{key, want, got, fix}], unverified: {tee, debug, mrenclave,
    mrsigner, mrtd, fmspc}
These names are stable. kid, alg and certificate are the key set's own words.
Any other fact is there exactly if genuine evidence states it; of evidence that
is not genuine, what it claims is in unverified.

A key that expired, or is not valid yet, is not accepted, though its evidence
may be genuine. Under the scheme original that is shown and does not count:
there, nobody vouches for the certificate's dates.

Exit codes: 0 genuine (and, with --policy, accepted); 1 not, or the evidence
does not vouch for the key that it came with; 2 called wrongly.`

const inspectExample = `  # the evidence of the demo's broker, which it leaves in a folder
  ctb demo --dir demo-files
  ctb inspect demo-files/attestation.json --policy demo-files/policy.yaml

  # the keys of the original broker; says what is missing to judge them
  ctb inspect cmd/ctb/testdata/original/jwks.json

  # a quote, judged by collateral at an instant in the past
  ctb inspect quote.bin --collateral collateral.json --at 2025-08-20T00:00:00Z`

// inspectFlags is what the command line says.
type inspectFlags struct {
	evidenceFlags
	at     instant
	scheme string
	json   bool
}

func newInspect(s streams) *cobra.Command {
	var f inspectFlags
	cmd := &cobra.Command{
		Use:     "inspect FILE|URL|-",
		Short:   "Show whether a quote, certificate or key set is genuine",
		Long:    inspectLong,
		Example: inspectExample,
		Args:    oneArg("a file, a URL, or \"-\" for the standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return inspect(cmd.Context(), s, args[0], f)
		},
		ValidArgsFunction: completeFiles(evidenceFiles...),
	}
	f.register(cmd)
	f.at.register(cmd)
	cmd.Flags().Var(text{&f.scheme, "SCHEME"}, "scheme", "how a certificate binds its key: dice or original (default the policy's; without one, the one it carries)")
	cmd.Flags().BoolVar(&f.json, "json", false, "write JSON")
	completeWords(cmd, "scheme", attest.DICE, attest.Original)
	return cmd
}

// evidenceFiles are the types of files that evidence comes in.
var evidenceFiles = []string{"json", "pem", "crt", "cer", "der", "quote", "bin", "dat", "b64", "hex"}

func inspect(ctx context.Context, s streams, source string, f inspectFlags) error {
	if err := f.checkScheme(); err != nil {
		return err
	}
	in, err := f.reader(s)
	if err != nil {
		return err
	}
	at := f.at.or(time.Now())
	judge, err := f.load(ctx, in, at)
	if err != nil {
		return err
	}
	source = keysAt(source)
	data, err := in.evidence(ctx, source)
	if err != nil {
		return err
	}
	subject, err := recognise(data)
	if err != nil {
		err = fmt.Errorf("%s: %w", source, err)
		if f.json {
			return errors.Join(writeFindings(s, []finding{judge.begin(at).notGenuine(err)}, false), errNo)
		}
		return err
	}
	judge.staple = subject.attestation
	if subject.keys != nil {
		judge.staple = in.stapled(ctx, source)
	}
	findings, err := judge.findings(ctx, subject, looking{scheme: f.scheme, at: at, evidenceAt: at})
	if err != nil {
		return err
	}
	if f.json {
		err = writeFindings(s, findings, subject.set())
	} else {
		err = printFindings(s.report(), source, findings)
	}
	if err != nil {
		return err
	}
	for _, x := range findings {
		if !x.Genuine || x.unbound || judge.policy != nil && !x.Accepted {
			return errNo
		}
	}
	return nil
}

func (f *inspectFlags) checkScheme() error {
	switch f.scheme {
	case "":
		return nil
	case attest.DICE, attest.Original:
		if f.policy != "" {
			return usagef("leave --scheme out", "--scheme and --policy are both given: the policy names the scheme")
		}
		return nil
	}
	return usagef("", "--scheme: got %q, want %q or %q", f.scheme, attest.DICE, attest.Original)
}

// writeFindings writes one object, or for a key set {"keys": […]}.
func writeFindings(s streams, findings []finding, keySet bool) error {
	if keySet {
		return writeJSON(s.out, struct {
			Keys []finding `json:"keys"`
		}{findings})
	}
	return writeJSON(s.out, findings[0])
}

// writeJSON writes v, indented, with a newline.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
