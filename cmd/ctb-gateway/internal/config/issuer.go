package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// issuers are one, whose keys stand at jwt itself, or several in a list.
func (r *reader) issuers(j *jwt) error {
	const key = "authorization.jwt"
	if j.Issuers == nil {
		made, err := r.issuer(key, &j.issuer)
		r.config.Issuers = []Issuer{made}
		return err
	}
	for _, own := range []string{"public_key_pem_path", "jwks_url", "jwks_path", "broker", "ca_path", "algorithms", "issuer", "audience", "type"} {
		if r.file.Has(key + "." + own) {
			return r.file.Fault(key+"."+own, "got this beside issuers, want it in one of them")
		}
	}
	if len(j.Issuers) == 0 {
		return r.file.Fault(key+".issuers", "got an empty list, want issuers with their keys")
	}
	names := map[string]int{}
	for i := range j.Issuers {
		at := fmt.Sprintf("%s.issuers[%d]", key, i)
		made, err := r.issuer(at, &j.Issuers[i])
		if err != nil {
			return err
		}
		// The unverified issuer chooses the keys, so it must be told apart.
		if made.Name == "" && len(j.Issuers) > 1 {
			return r.file.Fault(at+".issuer", "missing; want the exact iss of the tokens, which tells the issuers apart")
		}
		if before, twice := names[made.Name]; twice {
			return r.file.Fault(at+".issuer", "got %q, which issuers[%d] is, too", made.Name, before)
		}
		names[made.Name] = i
		r.config.Issuers = append(r.config.Issuers, made)
	}
	return nil
}

// issuer reads one issuer, which stands under key.
func (r *reader) issuer(key string, j *issuer) (Issuer, error) {
	made := Issuer{
		Name: j.Issuer, Audience: j.Audience, Algorithms: j.Algorithms, Type: ctb.AccessToken,
		PublicKeyPEM: j.PublicKeyPEM, JWKSURL: j.JWKSURL, JWKSFile: j.JWKSFile, CAs: j.CAs, Key: key,
	}
	for _, given := range [][2]string{{"issuer", j.Issuer}, {"audience", j.Audience}} {
		if name, value := given[0], given[1]; value == "" && r.file.Has(key+"."+name) { // whatever filled it in may have had nothing
			return made, r.file.Fault(key+"."+name, "is empty, which would mean any; give it a value or remove it")
		}
	}
	if err := r.source(key, j); err != nil {
		return made, err
	}
	if err := r.algorithms(key, j); err != nil {
		return made, err
	}
	// A broker signs for many services. Other keys may sign for this gateway alone: of those that have no name here, Warnings tell.
	if j.Broker != nil && j.Issuer == "" {
		return made, r.file.Fault(key+".issuer", "missing; want the exact iss of the tokens")
	}
	if j.Broker != nil && j.Audience == "" {
		return made, r.file.Fault(key+".audience", "missing; want this service's name in the tokens' aud, or tokens for other services would be let through")
	}
	switch strings.ToLower(j.Type) {
	case "":
		if j.PublicKeyPEM != "" { // what most issuers write who give their key in a file
			made.Type = ctb.IDToken
		}
	case ctb.AccessToken:
	case strings.ToLower(ctb.IDToken):
		made.Type = ctb.IDToken
	default:
		return made, r.file.Fault(key+".type", "got %.40q, want at+jwt (RFC 9068 access tokens) or JWT (typ JWT or none)", j.Type)
	}
	if j.Broker != nil {
		made.Broker = &Broker{URL: j.Broker.URL, Policy: j.Broker.Policy, Collateral: j.Broker.Collateral, TLS: j.Broker.known(j.CAs)}
	}
	return made, nil
}

// source wants exactly one source of keys, and nothing beside it that would have no effect.
func (r *reader) source(key string, j *issuer) error {
	var given []string
	for _, s := range []struct {
		name string
		is   bool
	}{{"broker", j.Broker != nil}, {"jwks_url", j.JWKSURL != ""}, {"jwks_path", j.JWKSFile != ""}, {"public_key_pem_path", j.PublicKeyPEM != ""}} {
		if s.is {
			given = append(given, lastStep(r.file.Written(key+"."+s.name)))
		}
	}
	switch {
	case len(given) == 0:
		return r.file.Fault(key, "got no keys, want exactly one of public_key_pem_path, jwks_path, jwks_url and broker")
	case len(given) > 1:
		return r.file.Fault(key, "got %s, want exactly one of public_key_pem_path, jwks_path, jwks_url and broker", strings.Join(given, " and "))
	case j.JWKSURL != "" && !isPrivate(j.JWKSURL):
		return r.file.Fault(key+".jwks_url", "got %q, want an https URL without a password (http is for loopback addresses)", fetch.Redact(j.JWKSURL))
	case j.CAs != "" && j.JWKSURL == "" && j.Broker == nil:
		return r.file.Fault(key+".ca_path", "has no effect here: it is for jwks_url and broker")
	case j.Broker != nil:
		return r.broker(key+".broker.", j)
	}
	return nil
}

func lastStep(key string) string { return key[strings.LastIndex(key, ".")+1:] }

func (r *reader) algorithms(key string, j *issuer) error {
	if r.file.Has(key+".algorithms") && len(j.Algorithms) == 0 {
		return r.file.Fault(key+".algorithms", "got an empty list, want algorithms such as ES256, or not this key")
	}
	for i, a := range j.Algorithms {
		at := key + ".algorithms"
		if len(j.Algorithms) > 1 {
			at = fmt.Sprintf("%s[%d]", at, i)
		}
		switch {
		case !jose.Supported(a):
			return r.file.Fault(at, "got %.40q, want one of %s", a, strings.Join(jose.Algorithms(), ", "))
		case slices.Index(j.Algorithms, a) < i:
			return r.file.Fault(at, "%s stands twice", a)
		}
	}
	if j.PublicKeyPEM != "" && len(j.Algorithms) > 1 {
		return r.file.Fault(key+".algorithms", "got %d, want one: a key has one algorithm", len(j.Algorithms))
	}
	return nil
}

// broker checks the words about an attested broker.
func (r *reader) broker(key string, j *issuer) error {
	b := j.Broker
	switch {
	case !isPrivate(b.URL):
		return r.file.Fault(key+"url", "got %q, want the broker's https URL without a password (http is for loopback addresses)", fetch.Redact(b.URL))
	case b.Policy == "":
		return r.file.Fault(key+"policy", "missing; want the policy file: which builds and rules are accepted")
	case b.TLS != "" && b.TLS != AttestedTLS && b.TLS != PublicTLS:
		return r.file.Fault(key+"tls", "got %.40q, want %s or %s", b.TLS, AttestedTLS, PublicTLS)
	case b.TLS != "" && j.CAs != "":
		return r.file.Fault(key+"tls", "got %q beside ca_path, want one of the two", b.TLS)
	case b.TLS != "" && !strings.HasPrefix(strings.ToLower(b.URL), "https:"):
		return r.file.Fault(key+"tls", "has no effect here: the broker's URL is http")
	}
	var fault *evidence.KeyError
	if err := b.Collateral.Validate(); errors.As(err, &fault) {
		return r.file.Fault(key+"collateral."+fault.Key, "%w", fault.Err)
	}
	return nil
}

// known says how the broker's server is known.
func (b *broker) known(cas string) string {
	switch {
	case cas != "":
		return CustomTLS
	case b.TLS == PublicTLS:
		return PublicTLS
	case strings.HasPrefix(strings.ToLower(b.URL), "https:"):
		return AttestedTLS
	}
	return PlainHTTP
}

// isPrivate tells whether keys may come from the URL: nobody on the way may change them.
func isPrivate(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && fetch.Private(u) && u.User == nil && u.Fragment == ""
}
