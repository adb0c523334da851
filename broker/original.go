package broker

import (
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/confidential-token-broker/ctb/exchange"
)

// originalMessage is what the original broker says of every refusal.
const originalMessage = "Get access token failed"

// serveOriginal is the original broker's /stsToken: a JSON body with an id token, also of a GET.
func (b *Broker) serveOriginal(w http.ResponseWriter, r *http.Request, a asker) {
	request, err := readOriginal(w, r)
	if err != nil {
		b.writeOriginalRefusal(w, r, b.refused(r.Context(), b.newEvent(a), err))
		return
	}
	response, err := b.exchange(r.Context(), a, original, request)
	if err != nil {
		b.writeOriginalRefusal(w, r, refusalOf(err))
		return
	}
	writeJSON(w, http.StatusOK, struct {
		AccessToken string `json:"Access Token"`
	}{response.AccessToken})
}

func readOriginal(w http.ResponseWriter, r *http.Request) (*exchange.Request, error) {
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	return parseOriginal(body)
}

// parseOriginal reads {"id_token": "…"}. Names are unique; others than
// id_token are ignored, as the original ignored them. The content type is not looked at:
// the original did not, and its users' programs send what they like.
func parseOriginal(body []byte) (*exchange.Request, error) {
	var b struct {
		IDToken *string `json:"id_token"`
	}
	refuse := func(description string) error {
		return &exchange.Error{Code: exchange.InvalidRequest, Description: description}
	}
	if err := json.Unmarshal(body, &b); err != nil {
		// The decoder's error may quote the body, and so a token.
		return nil, refuse("the body must be a JSON object with the member id_token, a string")
	}
	if b.IDToken == nil || *b.IDToken == "" {
		return nil, refuse("id_token is missing from the body")
	}
	request := &exchange.Request{SubjectToken: *b.IDToken, SubjectTokenType: exchange.TypeIDToken}
	if err := request.Check(); err != nil {
		return nil, err
	}
	return request, nil
}

// writeOriginalRefusal answers with the original's message and a status that is true.
func (b *Broker) writeOriginalRefusal(w http.ResponseWriter, r *http.Request, refusal *exchange.Error) {
	code := status(refusal, original)
	if refusal == errTooLarge {
		code = http.StatusRequestEntityTooLarge
	}
	refusalHeader(w, r, code)
	writeJSON(w, code, struct {
		Message     string `json:"msg"`
		Code        string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{originalMessage, refusal.Code, refusal.Description})
}
