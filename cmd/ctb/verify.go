package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

const verifyLong = `Verify says whether an access token is valid, check by check: its form and
signature, type, issuer, audience and lifetime, and whether the key that signed
it lives where your policy says.

A token is a credential. Given as an argument, it ends up in the history of
your shell and in the list of processes: use "-" and the standard input for
live ones.

The keys come from --jwks, a file or a URL: a key set, or what a broker serves
at /.well-known/attestation, which has the collateral as well. Their evidence is
judged by --policy, and by the collateral that the broker at that URL staples to
them, or that --pcs (SGX and TDX), --kds (SEV-SNP) or --collateral has. Where
the policy names no issuer, the key must be bound to that of --issuer, or else
to the token's own: another broker of the same build is not this one. Where keys
have no evidence, --unattested says aloud that they are trusted without.

--scope and --claims ask what a gateway would ask: whether the token has the
scopes, and meets the claim rules of a file, each by itself. The file is the
list that stands under authorization.jwt.claims in the gateway's configuration:

  - {name: org.role, values: [admin, auditor]}  # a dot leads into an object
  - {path: ["https://example.com/team"], values: [blue]}
  - {name: level, value_type: int, values: [3, 4]}
  - {name: email}                              # any text will do

--at is the instant at which the token and the key's certificate are judged,
--evidence-at that at which the evidence is (for archived tokens, whose
collateral is of another time). Both are RFC 3339 or Unix seconds.

--json writes accepted, reasons[], at, evidence_at, checks: [{name, result,
detail, fix}], claims, and key, which is as "ctb inspect --json" writes it. The
check of a scope is called "scope NAME", that of a claim rule "claim NAME".

Exit codes: 0 valid, and every rule met; 1 not; 2 called wrongly.`

const verifyExample = `  # the demo's token, by the keys and the policy that it leaves in a folder
  ctb demo --dir demo-files
  ctb verify - --jwks demo-files/jwks.json --policy demo-files/policy.yaml \
      --collateral demo-files/collateral.json --issuer https://127.0.0.1:8080 \
      --audience https://example.com/server1-api < demo-files/access-token.jwt

  # a token of the original broker: its signature alone, its key unattested
  ctb verify - --jwks cmd/ctb/testdata/original/jwks.json --unattested \
      --type JWT --issuer "enclave authorization" --at 1696053950 \
      < cmd/ctb/testdata/original/access_1_response.jwt

  # why does the gateway refuse this token? rule by rule
  ctb verify - --jwks https://idp.example.com/jwks.json --unattested \
      --issuer https://idp.example.com/ --audience https://api.example.com \
      --scope read:reports --claims claims.yaml < access-token.jwt

  # keys of an issuer without evidence
  ctb verify - --jwks https://idp.example.com/jwks.json --unattested \
      --type JWT --issuer https://idp.example.com/ --audience my-client \
      < id-token.jwt`

// verifyFlags is what the command line says.
type verifyFlags struct {
	evidenceFlags
	ruleFlags
	jwks, issuer, audience, typ string
	unattested, json            bool
	at, evidenceAt              instant
}

func newVerify(s streams) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:     "verify TOKEN|-",
		Short:   "Verify an access token, and where its key lives",
		Long:    verifyLong,
		Example: verifyExample,
		Args:    oneArg(`a token, or better "-" for the standard input`),
		RunE: func(cmd *cobra.Command, args []string) error {
			return verify(cmd.Context(), s, args[0], f)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.Var(text{&f.jwks, "FILE|URL"}, "jwks", "the keys: a JSON Web Key set, or a broker's attestation document")
	f.evidenceFlags.register(cmd)
	flags.BoolVar(&f.unattested, "unattested", false, "trust the keys of --jwks without any evidence")
	flags.Var(text{&f.issuer, "URL"}, "issuer", "the issuer that the token must name (without it: not checked)")
	flags.Var(text{&f.audience, "NAME"}, "audience", "the audience that the token must be meant for (without it: not checked)")
	flags.Var(text{&f.typ, "TYPE"}, "type", "the token's type (default at+jwt; JWT with a policy of scheme original)")
	f.ruleFlags.register(cmd)
	flags.Var(&f.at, "at", "judge the token at this instant (default now)")
	flags.Var(&f.evidenceAt, "evidence-at", "judge the evidence at this instant (default that of --at)")
	flags.BoolVar(&f.json, "json", false, "write JSON")
	completeFlag(cmd, "jwks", "json")
	completeWords(cmd, "type", ctb.AccessToken, ctb.IDToken)
	return cmd
}

func verify(ctx context.Context, s streams, arg string, f verifyFlags) error {
	if err := f.check(arg); err != nil {
		return err
	}
	rules, err := f.ruleFlags.load()
	if err != nil {
		return err
	}
	in, err := f.reader(s)
	if err != nil {
		return err
	}
	at := f.at.or(time.Now())
	judge, err := f.evidenceFlags.load(ctx, in, f.evidenceAt.or(at))
	if err != nil {
		return err
	}
	raw, err := token(ctx, in, arg)
	if err != nil {
		return err
	}
	jwks, staple, err := f.keys(ctx, in)
	if err != nil {
		return fmt.Errorf("--jwks: %w", err)
	}
	judge.staple = staple
	q := question{
		judge: judge, raw: raw, jwks: jwks, at: at, evidenceAt: f.evidenceAt.or(at),
		issuer: f.issuer, audience: f.audience, typ: f.typeFor(judge.policy), rules: rules,
	}
	a := q.answer(ctx)
	if f.json {
		err = writeJSON(s.out, a)
	} else {
		err = a.print(s.report())
	}
	if err == nil && !a.Accepted {
		err = errNo
	}
	return err
}

// keys reads the key set of --jwks, and what its broker staples to it.
func (f *verifyFlags) keys(ctx context.Context, in reader) (jwks []byte, staple *attest.Attestation, err error) {
	read := in.evidence
	if f.unattested {
		read = in.read // keys without evidence are worth as much as their server
	}
	source := keysAt(f.jwks)
	data, err := read(ctx, source)
	if err != nil {
		return nil, nil, err
	}
	staple, jwks, err = attestationKeys(data)
	if err != nil || staple != nil {
		return jwks, staple, err
	}
	if !f.unattested {
		staple = in.stapled(ctx, source)
	}
	return data, staple, nil
}

// check refuses command lines that ask for too little.
func (f *verifyFlags) check(arg string) error {
	switch {
	case arg == "-" && f.jwks == "-":
		return usagef("name a file for one of them", "token and keys can't both be the standard input")
	case f.jwks == "":
		return usagef("--jwks FILE or --jwks URL, such as https://broker.example.com/.well-known/jwks.json",
			"--jwks is missing: which keys?")
	case f.policy == "" && !f.unattested:
		return usagef("give --policy FILE, or --unattested to trust the keys without evidence",
			"--policy is missing: whose keys?")
	case f.policy != "" && f.unattested:
		return usagef("leave one of them out", "--policy and --unattested contradict each other")
	case f.unattested && (f.any() || f.root != "" || !f.evidenceAt.IsZero()):
		return usagef("leave them out", "--collateral, --pcs, --kds, --root and --evidence-at have no meaning with --unattested")
	case f.unattested && plainHTTP(f.jwks):
		return usagef("use https", "--jwks: got %s, keys without evidence need an https URL (or this machine's)", f.jwks)
	}
	return nil
}

// plainHTTP tells whether whoever is on the way could change what source answers.
func plainHTTP(source string) bool {
	u, err := url.Parse(source)
	return err == nil && u.Scheme == "http" && !fetch.Private(u)
}

func (f *verifyFlags) typeFor(p *attest.Policy) string {
	switch {
	case f.typ != "":
		return f.typ
	case p != nil && p.Scheme == attest.Original:
		return ctb.IDToken // the header of the original's tokens says "JWT"
	}
	return ctb.AccessToken
}

// token reads the token of an argument: itself, or with "-" the standard input's.
func token(ctx context.Context, in reader, arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	data, err := in.read(ctx, "-")
	return string(bytes.TrimSpace(data)), err
}
