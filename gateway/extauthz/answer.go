package extauthz

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/internal/httptoken"
)

// allowed tells Envoy what becomes of a request that it may forward. Envoy
// removes after it has set, so a header that is set is not among those to remove.
func allowed(r *http.Request, decision *gateway.Decision) *authv3.CheckResponse {
	set, remove, query := decision.Changes(r)
	headers, ok := options(set)
	if !ok {
		return unavailable()
	}
	remove = slices.DeleteFunc(slices.Clone(remove), func(name string) bool {
		_, isSet := set[http.CanonicalHeaderKey(name)]
		return isSet
	})
	for i, name := range remove {
		remove[i] = strings.ToLower(name)
	}
	slices.Sort(remove)
	parameters, ok := missing(r.URL.RawQuery, query)
	if !ok {
		return unavailable()
	}
	return &authv3.CheckResponse{
		Status: status.New(codes.OK, "").Proto(),
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: headers, HeadersToRemove: slices.Compact(remove), QueryParametersToRemove: parameters,
		}},
	}
}

// denied tells Envoy what to answer in place of the upstream.
func (s *service) denied(r *http.Request, refusal *access.Refusal) *authv3.CheckResponse {
	code, header, body := s.config.Decider.Answer(r, refusal)
	if code < 400 || code > 599 {
		code = http.StatusServiceUnavailable // a refusal that looks like consent is a fault of ours
	}
	headers, ok := options(header)
	if !ok || !utf8.Valid(body) {
		return unavailable()
	}
	return denial(codeOf(refusal), code, headers, string(body))
}

// unavailable is the answer to what should not happen. It tells nothing.
func unavailable() *authv3.CheckResponse {
	return denial(codes.Unavailable, http.StatusServiceUnavailable, nil, "")
}

func denial(reason codes.Code, code int, headers []*corev3.HeaderValueOption, body string) *authv3.CheckResponse {
	return &authv3.CheckResponse{
		Status: status.New(reason, "").Proto(),
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(code)},
			Headers: headers, Body: body,
		}},
	}
}

// codeOf is for Envoy's statistics and logs; the client gets the status of HTTP.
func codeOf(refusal *access.Refusal) codes.Code {
	switch refusal.Reason {
	case access.MissingCredential, access.MalformedCredential, access.SeveralCredentials, access.UnknownAPIKey, access.InvalidToken:
		return codes.Unauthenticated
	case access.KeysUnavailable:
		return codes.Unavailable
	case access.RateLimited, access.TooManyAtOnce, access.TooManySessions, access.Busy:
		return codes.ResourceExhausted
	case access.BadRequest, access.BadMethod, access.BadSessionQuery:
		return codes.InvalidArgument
	}
	return codes.PermissionDenied
}

// options are header fields as Envoy sets them: each in place of all that have
// its name. Several of one name are joined (RFC 9110 section 5.2), for otherwise the last would
// take the place of the others. ok is false if Envoy's protocol cannot carry one of them.
func options(header http.Header) (fields []*corev3.HeaderValueOption, ok bool) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		value := strings.Join(header[name], ", ")
		if !utf8.ValidString(value) || strings.ContainsAny(value, "\r\n\x00") || !httptoken.Valid(name) {
			return nil, false
		}
		// Append stays unset: an Envoy that knows append_action would not look at it
		// beside append, and for one that does not, unset means the same in this message.
		fields = append(fields, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: strings.ToLower(name), Value: value},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return fields, true
}

// missing are the names of the query parameters that are in before and not in
// after, as they stand there: Envoy does not decode them when it looks for them.
// ok is false if Envoy would make something else than after of before: the rest is
// in another order, or a name is in both, of which Envoy would remove all.
func missing(before, after string) (names []string, ok bool) {
	rest := fieldsOf(after)
	gone, stays := map[string]bool{}, map[string]bool{}
	for _, field := range fieldsOf(before) {
		name, _, _ := strings.Cut(field, "=")
		if len(rest) > 0 && rest[0] == field {
			rest, stays[name] = rest[1:], true
		} else {
			gone[name] = true
		}
	}
	names = slices.Sorted(maps.Keys(gone))
	return names, len(rest) == 0 && !slices.ContainsFunc(names, func(name string) bool { return stays[name] })
}

// fieldsOf are the fields of a query, without empty ones.
func fieldsOf(query string) []string {
	return slices.DeleteFunc(strings.Split(query, "&"), func(field string) bool { return field == "" })
}
