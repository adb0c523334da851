package credential

import (
	"errors"
	"net/http"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// Source is a whitelist that may be read anew.
type Source interface{ Whitelist() *Whitelist }

// Keys is the authenticator of API keys. It is safe for concurrent use if its source is.
type Keys struct {
	list   Source
	header string
}

// NewKeys returns the authenticator of the list's keys. The header has the key and nothing
// else: "X-API-Key" if empty, or "Authorization" as the notary server's first generations have it.
func NewKeys(list Source, header string) (*Keys, error) {
	if list == nil {
		return nil, errors.New("whitelist: missing, so that no API key would be accepted")
	}
	if header == "" {
		header = "X-API-Key"
	}
	header = http.CanonicalHeaderKey(header)
	if header != authorization {
		if err := checkHeaderName(header); err != nil {
			return nil, err
		}
	}
	return &Keys{list: list, header: header}, nil
}

// Authenticate implements access.Authenticator.
func (k *Keys) Authenticate(r *http.Request) (*access.Identity, error) {
	lines := r.Header[k.header]
	switch len(lines) {
	case 0:
		return nil, refuseKey(access.MissingCredential, "the request has no API key, want one in "+k.header)
	case 1:
		if who := k.list.Whitelist().find(lines[0]); who != nil {
			return who, nil
		}
		return nil, refuseKey(access.UnknownAPIKey, "the API key is unknown")
	}
	// Of two keys, this end and the next might each read another one.
	return nil, refuseKey(access.SeveralCredentials, "the request has more than one "+k.header+", want one")
}

// Strip implements access.Authenticator.
func (k *Keys) Strip(header http.Header, rawQuery string) string {
	delete(header, k.header)
	return rawQuery
}

// Still implements access.Authenticator. A key that is now another's is not the one that was accepted.
func (k *Keys) Still(_ *http.Request, who *access.Identity) error {
	if who == nil || who.Mode != access.APIKey {
		return refuseKey(access.MissingCredential, "only API keys are accepted")
	}
	if now := k.list.Whitelist().identity(who.ID); now == nil || now.Name != who.Name {
		return refuseKey(access.UnknownAPIKey, "the API key is no longer known")
	}
	return nil
}

func refuseKey(reason access.Reason, public string) *access.Refusal {
	return &access.Refusal{Reason: reason, Mode: access.APIKey, Public: public}
}
