package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/attest"
)

const inspectLong = `Inspect shows the facts of attestation evidence, and whether it is genuine:
whether the hardware's maker vouches for it, at an instant, by its signatures,
certificates, revocation lists and, of Intel's, TCB levels. Of a platform that
lags behind it says what it lacks and what would help; and of everything, who
signed it and until when.

What it reads, recognised by its content:
  a quote         Intel SGX (versions 3, 4, 5) or TDX (4, 5)
  a report        AMD SEV-SNP (versions 2 to 5), 1184 bytes, alone or followed
                  by the certificate table that the host gives along with it
  a document      AWS Nitro Enclaves (COSE_Sign1 in CBOR, tagged or not)
                  each of these raw, hex or base64
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
it to its keys), from the service of --pcs (SGX and TDX) or --kds (SEV-SNP),
from --collateral. No service is asked unless a flag names it. Documents of
Nitro Enclaves need none.

Evidence that a broker published proves where its keys come from, and not that
the broker is there now. --fresh asks the broker at the URL for new evidence,
made for a random nonce of 32 bytes, and says how old it is and which of the
broker's keys it covers. It is judged now, by --policy as well if that is given;
without one, it is told whether it is genuine, made for the nonce within the
last minute, and of the broker at that URL.

--json writes one object, or for several keys {"keys": […]} with one for each:
  genuine, accepted, reasons[], policy, at, unavailable (it can't be told, for
    want of collateral), tee, simulated, debug,
  (SGX) mrenclave, mrsigner, isvprodid, isvsvn,
  (TDX) mrtd, rtmr0…3, mrconfigid, mrowner, mrownerconfig, mrseam,
    mrservicetd (TDX 1.5), td_attributes, xfam,
  report_data, (SGX, TDX) fmspc, pck_ca,
  (SEV-SNP, Nitro) measurements: {NAME: hex}, by their names in a policy,
  sev_snp: {version, product, signed_by, vmpl, guest_svn,
    policy: {abi_major, abi_minor, smt, migrate_ma, debug, single_socket, cxl,
      mem_aes_256_xts, rapl_disabled, ciphertext_hiding, page_swap_disabled},
    platform: {smt, tsme, ecc, rapl_disabled, ciphertext_hiding,
      alias_check_complete, tio},
    reported, current, committed, launch: {fmc (Turin), bootloader, tee, snp,
      microcode}, revocation_checked},
  nitro: {module_id, timestamp, public_key, user_data, nonce},
  tcb: {status, platform, module, qe, advisories[], evaluation_number,
    levels: [{part, status, date, advisories[]}],
    shortfalls: [{part, component, name, have, want}], remedies[]},
    where status is NotJudged of SEV-SNP and Nitro,
  collateral: {not_before, not_after, source}, source being evidence, staple,
    service or file,
  basis: [{what, signed_by, not_before, not_after}],
  binding: {scheme, use, issuer, rules_digest, key_thumbprint, issued, expires},
  (--fresh) fresh: {nonce, time, age_seconds, issuer, rules_digest,
    keys: [{kid, use, covered}]},
  kid, alg, certificate: {not_before, not_after, valid},
  refusals: [{key, want, got, fix}], unverified: {tee, debug, mrenclave,
    mrsigner, mrtd, fmspc, measurement, product, chip_id, module_id, pcr0}
These names are stable. kid, alg and certificate are the key set's own words.
Any other fact is there exactly if genuine evidence states it; of evidence that
is not genuine, what it claims is in unverified.

A key that expired, or is not valid yet, is not accepted, though its evidence
may be genuine. Under the scheme original that is shown and does not count:
there, nobody vouches for the certificate's dates.

Exit codes: 0 genuine (and, with --policy, accepted); 1 not, or the evidence
does not vouch for the key that it came with, or with --fresh for the broker
that was asked; 2 called wrongly.`

const inspectExample = `  # the evidence of the demo's broker, which it leaves in a folder
  ctb demo --dir demo-files
  ctb inspect demo-files/attestation.json --policy demo-files/policy.yaml

  # is this broker there now, in the build that the policy names?
  ctb inspect https://broker.example.com --fresh --policy policy.yaml

  # the keys of the original broker; says what is missing to judge them
  ctb inspect cmd/ctb/testdata/original/jwks.json

  # a quote, judged by collateral at an instant in the past
  ctb inspect quote.bin --collateral collateral.json --at 2025-08-20T00:00:00Z

  # a report of an SEV-SNP guest, with what AMD has about its chip
  ctb inspect report.bin --kds amd`

// inspectFlags is what the command line says.
type inspectFlags struct {
	evidenceFlags
	at     instant
	scheme string
	fresh  bool
	json   bool
}

func newInspect(s streams) *cobra.Command {
	var f inspectFlags
	cmd := ofEvidence(func(ctx context.Context, source string) error { return inspect(ctx, s, source, f) })
	cmd.Use, cmd.Short, cmd.Long, cmd.Example = "inspect FILE|URL|-", "Show whether evidence, a certificate or a key set is genuine", inspectLong, inspectExample
	f.register(cmd)
	f.at.register(cmd)
	cmd.Flags().Var(text{&f.scheme, "SCHEME"}, "scheme", "how a certificate binds its key: dice or original (default the policy's; without one, the one it carries)")
	cmd.Flags().BoolVar(&f.fresh, "fresh", false, "ask the broker at this URL for new evidence, made for a nonce")
	cmd.Flags().BoolVar(&f.json, "json", false, "write JSON")
	completeWords(cmd, "scheme", attest.DICE, attest.Original)
	return cmd
}

// ofEvidence is a command without words yet that takes one argument, which carries evidence.
func ofEvidence(do func(ctx context.Context, source string) error) *cobra.Command {
	return &cobra.Command{
		Args:              oneArg("a file, a URL, or \"-\" for the standard input"),
		RunE:              func(cmd *cobra.Command, args []string) error { return do(cmd.Context(), args[0]) },
		ValidArgsFunction: completeFiles(evidenceFiles...),
	}
}

// evidenceFiles are the types of files that evidence comes in.
var evidenceFiles = []string{"json", "pem", "crt", "cer", "der", "quote", "report", "bin", "dat", "cbor", "b64", "hex"}

func inspect(ctx context.Context, s streams, source string, f inspectFlags) error {
	if err := cmp.Or(f.checkFresh(source), f.checkScheme()); err != nil {
		return err
	}
	in, err := f.reader(s)
	if err != nil {
		return err
	}
	if f.fresh {
		return inspectFresh(ctx, s, in, source, f)
	}
	at := f.at.or(time.Now())
	judge, err := f.load(ctx, in, at)
	if err != nil {
		return err
	}
	source = keysAt(source)
	subject, err := judge.subject(ctx, in, source)
	if err != nil {
		if f.json && errors.As(err, new(*unreadableError)) {
			return errors.Join(writeFindings(s, []finding{judge.begin(at).notGenuine(err)}, false), errNo)
		}
		return err
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
