package session

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/go-json-experiment/json/jsontext"
)

// createBody is the body that asks for an id:
//
//	{"clientType": "Tcp" or "Websocket", "maxSentData": 4096, "maxRecvData": 16384}
//
// The numbers may be absent or null. Other members are the upstream's.
type createBody struct {
	text       []byte
	sent, recv *uint64 // bytes; nil: not asked for
}

// wrongMember is JSON of the wrong shape, for which the notary server has other words than for text that is no JSON.
type wrongMember struct{ error }

// parseCreate reads a body. No name may stand twice in it, and it is an object: the upstream
// would else take the second, or an array's elements in order, and be asked for more than was looked at here.
func parseCreate(text []byte) (*createBody, error) {
	b := &createBody{text: text}
	var hasType bool
	err := jose.EachMember(text, func(name []byte, value jsontext.Value) (err error) {
		switch string(name) {
		case "clientType":
			hasType = true
			err = checkClientType(name, value)
		case "maxSentData":
			b.sent, err = amount(name, value)
		case "maxRecvData":
			b.recv, err = amount(name, value)
		}
		return err
	})
	if err == nil && !hasType {
		err = wrongMember{errors.New("clientType is missing")}
	}
	_, shape := errors.AsType[wrongMember](err)
	switch {
	case err == nil:
		return b, nil
	case shape || jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true)):
		return nil, badBody("Failed to deserialize the JSON body into the target type", fmt.Errorf("request for a session: %w", err))
	}
	return nil, badBody("Failed to parse the request body as JSON", fmt.Errorf("request for a session: %w", err))
}

func checkClientType(name []byte, value jsontext.Value) error {
	s, err := jose.StringValue(name, value)
	if err != nil {
		return wrongMember{err}
	}
	if s != "Tcp" && s != "Websocket" {
		return wrongMember{fmt.Errorf("clientType is %.40q, want Tcp or Websocket", s)}
	}
	return nil
}

// amount reads a number of bytes as the notary server does: no sign, no fraction, no exponent.
func amount(name []byte, value jsontext.Value) (*uint64, error) {
	if value.Kind() == 'n' {
		return nil, nil
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return nil, wrongMember{fmt.Errorf("%s: want a whole number from 0 to 2^64-1", name)}
	}
	return &n, nil
}

// bound is the most that may be asked for, in bytes.
type bound struct {
	limited bool
	most    uint64
	byClaim bool // then who asks for nothing asks for that
}

// bounds returns what an identity may ask for.
func (c *Config) bounds(who *access.Identity) (sent, recv bound, err error) {
	if sent, err = boundOf(c.MaxSent, c.MaxSentClaim, who); err == nil {
		recv, err = boundOf(c.MaxRecv, c.MaxRecvClaim, who)
	}
	return sent, recv, err
}

func boundOf(configured uint64, claim []string, who *access.Identity) (bound, error) {
	b := bound{limited: configured > 0, most: configured}
	if len(claim) == 0 || who == nil || who.Token == nil {
		return b, nil
	}
	value, ok := who.Token.Claim(claim...)
	if !ok {
		return b, nil
	}
	n, ok := claimedAmount(value)
	if !ok {
		// To take it for absent would let in for more who was to get less.
		required := ctb.Requirement{Path: claim, Type: ctb.Int}
		return b, &access.Refusal{Reason: access.UnexpectedType, Mode: who.Mode, Requirement: &required,
			Public: fmt.Sprintf("unexpected type for claim '%s': want a number of bytes", required)}
	}
	if !b.limited || n < b.most { // 0 means nothing, not everything
		b = bound{limited: true, most: n, byClaim: true}
	}
	return b, nil
}

// claimedAmount reads a whole number of 0 or more, or a string of one: some issuers have no other claims.
func claimedAmount(value jsontext.Value) (uint64, bool) {
	text := string(value)
	if value.Kind() == '"' {
		var err error
		if text, err = jose.StringValue(nil, value); err != nil {
			return 0, false
		}
		n, err := strconv.ParseUint(text, 10, 64)
		return n, err == nil
	}
	if value.Kind() != '0' {
		return 0, false
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, true
	}
	// 4096.0 and 4e3 are whole numbers as well; up to 2^53 a float holds them exactly.
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || f > 1<<53 || f != math.Trunc(f) {
		return 0, false
	}
	return uint64(f), true
}

// within refuses who asks for more than he may.
func (b *createBody) within(sent, recv bound) error {
	if sent.exceeded(b.sent) {
		return badBody("Max sent data requested exceeds the global maximum threshold",
			fmt.Errorf("maxSentData is %d, want at most %d", *b.sent, sent.most))
	}
	if recv.exceeded(b.recv) {
		return badBody("Max recv data requested exceeds the global maximum threshold",
			fmt.Errorf("maxRecvData is %d, want at most %d", *b.recv, recv.most))
	}
	return nil
}

func (b bound) exceeded(asked *uint64) bool { return b.limited && asked != nil && *asked > b.most }

// capped returns the body for the upstream: byte for byte what came, unless a claim lowers
// what is not asked for, which then stands in it.
func (b *createBody) capped(sent, recv bound) []byte {
	explicit := map[string]uint64{}
	if sent.byClaim && b.sent == nil {
		explicit["maxSentData"] = sent.most
	}
	if recv.byClaim && b.recv == nil {
		explicit["maxRecvData"] = recv.most
	}
	if len(explicit) == 0 {
		return b.text
	}
	out := []byte{'{'}
	// The text has been read before, so there is no error.
	_ = jose.EachMember(b.text, func(name []byte, value jsontext.Value) error {
		if _, replaced := explicit[string(name)]; !replaced { // it is null
			out, _ = jsontext.AppendQuote(out, name)
			out = append(append(append(out, ':'), value...), ',')
		}
		return nil
	})
	for _, name := range []string{"maxSentData", "maxRecvData"} {
		if n, ok := explicit[name]; ok {
			out = fmt.Appendf(out, "%q:%d,", name, n)
		}
	}
	out[len(out)-1] = '}'
	return out
}
