package broker

import (
	"encoding/json"
	"strings"

	"github.com/confidential-token-broker/ctb/exchange"
)

// metadata is the authorization server metadata (RFC 8414 section 2), with
// what OpenID Connect Discovery requires beside it for those who only read that. There is no
// authorization endpoint: nobody logs in here.
func (b *Broker) metadata() []byte {
	base := strings.TrimRight(b.config.Issuer, "/")
	body, err := json.MarshalIndent(struct {
		Issuer            string   `json:"issuer"`
		TokenEndpoint     string   `json:"token_endpoint"`
		JWKS              string   `json:"jwks_uri"`
		GrantTypes        []string `json:"grant_types_supported"`
		ClientAuth        []string `json:"token_endpoint_auth_methods_supported"`
		ResponseTypes     []string `json:"response_types_supported"`
		SubjectTypes      []string `json:"subject_types_supported"`
		IDTokenAlgorithms []string `json:"id_token_signing_alg_values_supported"`
	}{
		Issuer:            b.config.Issuer,
		TokenEndpoint:     base + "/token",
		JWKS:              base + "/.well-known/jwks.json",
		GrantTypes:        []string{exchange.GrantType},
		ClientAuth:        []string{"none"},
		ResponseTypes:     []string{},
		SubjectTypes:      []string{"public"},
		IDTokenAlgorithms: []string{b.config.Algorithm},
	}, "", "  ")
	if err != nil {
		panic("broker: strings do not marshal: " + err.Error()) // unreachable: strings and lists of them
	}
	return body
}
