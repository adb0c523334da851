package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

const exchangeLong = `Exchange asks a broker for an access token (OAuth 2.0 Token Exchange, RFC
8693). The id token is read from the standard input, and the access token is
written to the standard output, alone, so that it can go into a pipe or a
variable.

With --policy, the id token is only sent once the broker has proved that the
key of its TLS connection lives in a build that the policy accepts. The proof is
judged by collateral that the broker staples, or that --pcs (SGX and TDX), --kds
(SEV-SNP) or --collateral has.
Without a policy, the server's certificate must be of a public CA, or of --ca.

Exit codes: 0 there is a token; 1 the broker refused, or can't be reached or
trusted; 2 called wrongly.`

const exchangeExample = `  # in one terminal
  ctb demo --serve --dir demo-files

  # in another
  ctb exchange --broker https://127.0.0.1:8080 \
      --policy demo-files/policy.yaml \
      --audience https://example.com/server1-api < demo-files/id-token.jwt`

// exchangeFlags is what the command line says.
type exchangeFlags struct {
	evidenceFlags
	broker                    string
	audience, scope, resource []string
	json                      bool
}

func newExchange(s streams) *cobra.Command {
	var f exchangeFlags
	cmd := &cobra.Command{
		Use:     "exchange --broker URL < ID_TOKEN",
		Short:   "Exchange an id token for an access token at a broker",
		Long:    exchangeLong,
		Example: exchangeExample,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return exchangeToken(cmd.Context(), s, f)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.Var(text{&f.broker, "URL"}, "broker", "the broker's issuer URL, or that of its token endpoint")
	f.register(cmd)
	flags.Var(list{&f.audience, "NAME"}, "audience", "for whom the token is wanted; may be repeated (default all that the rule gives)")
	flags.Var(list{&f.resource, "URI"}, "resource", "the same, as a resource (RFC 8707); may be repeated")
	flags.Var(list{&f.scope, "SCOPE"}, "scope", "the scope that is wanted; may be repeated (default all that the rule gives)")
	flags.BoolVar(&f.json, "json", false, "write the broker's whole answer")
	return cmd
}

func exchangeToken(ctx context.Context, s streams, f exchangeFlags) error {
	if f.broker == "" {
		return usagef("--broker https://broker.example.com", "--broker is missing: which broker?")
	}
	broker, err := httpsURL("broker", f.broker)
	if err != nil {
		return err
	}
	client, err := f.client(ctx, s, broker)
	if err != nil {
		return err
	}
	data, err := reader{streams: s}.read(ctx, "-")
	if err != nil {
		return err
	}
	idToken := string(bytes.TrimSpace(data))
	if idToken == "" {
		return usagef("for example: ctb exchange --broker "+f.broker+" < id-token.jwt",
			"the standard input is empty, want an id token")
	}
	c := exchange.Client{URL: tokenEndpoint(broker), HTTP: client}
	answer, err := c.Exchange(ctx, &exchange.Request{
		SubjectToken: idToken, SubjectTokenType: exchange.TypeIDToken,
		Audience: f.audience, Resource: f.resource, Scope: words(f.scope),
	})
	var untrusted *attest.RefusalError
	if errors.As(err, &untrusted) {
		return tellUntrusted(s, f.policy, untrusted)
	}
	var authority x509.UnknownAuthorityError
	if errors.As(err, &authority) && f.policy == "" {
		return &fixedError{err, "no public CA knows this broker: give --policy FILE, and its evidence decides; or its certificate with --ca FILE"}
	}
	if err != nil {
		return explainExchange(err)
	}
	if f.json {
		return writeJSON(s.out, answer)
	}
	_, err = fmt.Fprintln(s.out, answer.AccessToken)
	return err
}

// client returns the client that reaches the broker and nobody else.
func (f *exchangeFlags) client(ctx context.Context, s streams, broker *url.URL) (*http.Client, error) {
	if f.policy == "" {
		if f.root != "" || f.any() {
			return nil, usagef("give --policy too", "--root, --collateral, --pcs and --kds have no meaning without --policy")
		}
		return trusting(f.ca)
	}
	if f.ca != "" {
		return nil, usagef("leave one of them out", "--ca and --policy are both given: with a policy, the broker's TLS key is attested, and no CA is asked")
	}
	judge, err := f.load(ctx, reader{streams: s}, time.Now())
	if err != nil {
		return nil, err
	}
	c, err := attest.TLSConfig(attest.Config{URL: issuerOf(broker), Policy: judge.policy, Platforms: judge.platforms})
	if err != nil {
		return nil, usagef("", "%s: %w", f.policy, err)
	}
	return fetch.ClientTLS(c), nil
}

// A broker may be named by its token endpoint, too.
const tokenPath = "/token"

// tokenEndpoint is where the broker exchanges tokens.
func tokenEndpoint(broker *url.URL) string {
	if strings.HasSuffix(broker.Path, tokenPath) {
		return broker.String()
	}
	return broker.JoinPath(tokenPath).String()
}

// issuerOf is the broker's issuer URL.
func issuerOf(broker *url.URL) string { return strings.TrimSuffix(broker.String(), tokenPath) }

// words splits scopes at spaces, so that --scope "read write" means two.
func words(list []string) []string {
	return strings.Fields(strings.Join(list, " "))
}

// tellUntrusted says on the standard error why the policy refuses the broker.
func tellUntrusted(s streams, policy string, e *attest.RefusalError) error {
	w := s.notes()
	w.Title("The policy " + policy + " refuses the broker")
	for _, r := range e.Refusals {
		w.Check(report.Fail, policyLabel(r.Key), (&refusalJSON{r.Key, r.Want, r.Got, r.Fix}).lines()...)
		w.Fix(r.Fix)
	}
	w.Verdict(report.Fail, "the id token was not sent")
	return errNo
}

// explainExchange adds to a refusal what to do about it. A broker never says
// more than a code: the reason is in its audit.
func explainExchange(err error) error {
	var refused *exchange.Error
	if !errors.As(err, &refused) {
		return err
	}
	text := refused.Code
	if refused.Description != "" {
		text += ": " + refused.Description
	}
	switch refused.Code {
	case exchange.InvalidRequest:
		text += " (the broker's audit has the reason)"
	case exchange.InvalidTarget:
		text += " (no rule that fits this user gives this --audience or --resource)"
	case exchange.InvalidScope:
		text += " (the rule does not give this --scope)"
	case exchange.TemporarilyUnavailable:
		text += " (try again later)"
	}
	return fmt.Errorf("the broker refused: %s", text)
}
