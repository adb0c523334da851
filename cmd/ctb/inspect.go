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
revocation lists and TCB levels.

What it reads, recognised by its content:
  a quote         Intel SGX, version 3; raw, hex or base64
  a certificate   with the evidence of its key inside; PEM or DER
  a key set       JSON Web Key set, each key with such a certificate in "x5c"
from a file, a URL, or "-" for the standard input.

Whether evidence is genuine and whether it is yours are two questions. Without
--policy, inspect answers the first, and shows what a default policy would
refuse. With one, it answers both.

Evidence is judged by collateral, what the maker publishes about the platform;
--collateral names it.

--json writes one object, or for a key set {"keys": […]} with one for each key:
  genuine, accepted, reasons[], policy, at, tee, simulated, debug, mrenclave,
  mrsigner, isvprodid, isvsvn, mrtd, rtmr0…3, report_data, fmspc, pck_ca,
  tcb: {status, platform, module, qe, advisories[], evaluation_number,
    shortfalls[]}, collateral: {not_before, not_after}, binding: {scheme, use,
    issuer, rules_digest, key_thumbprint, issued, expires}, kid, alg,
  certificate: {not_before, not_after, valid}, refusals: [{key, want, got, fix}]
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
  ctb inspect demo-files/jwks.json --collateral demo-files/collateral.json \
      --policy demo-files/policy.yaml

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
		ValidArgsFunction: completeFiles("json", "pem", "crt", "cer", "der", "quote", "bin", "dat", "b64", "hex"),
	}
	f.register(cmd)
	cmd.Flags().Var(&f.at, "at", "judge at this instant, RFC 3339 or Unix seconds (default now)")
	cmd.Flags().Var(text{&f.scheme, "SCHEME"}, "scheme", "how a certificate binds its key: dice or original (default the policy's; without one, the one it carries)")
	cmd.Flags().BoolVar(&f.json, "json", false, "write JSON")
	completeWords(cmd, "scheme", attest.DICE, attest.Original)
	return cmd
}

func inspect(ctx context.Context, s streams, source string, f inspectFlags) error {
	if err := f.checkScheme(); err != nil {
		return err
	}
	in, err := f.reader(s)
	if err != nil {
		return err
	}
	judge, err := f.load(ctx, in)
	if err != nil {
		return err
	}
	source = keysAt(source)
	data, err := in.evidence(ctx, source)
	if err != nil {
		return err
	}
	subject, err := recognise(data)
	at := f.at.or(time.Now())
	if err != nil {
		err = fmt.Errorf("%s: %w", source, err)
		if f.json {
			return errors.Join(writeFindings(s, []finding{judge.begin(at).notGenuine(err)}, false), errNo)
		}
		return err
	}
	findings, err := judge.findings(ctx, subject, looking{scheme: f.scheme, at: at, evidenceAt: at})
	if err != nil {
		return err
	}
	if f.json {
		err = writeFindings(s, findings, subject.keys != nil)
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
