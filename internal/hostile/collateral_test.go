package hostile

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

func collaterals(w *world) *table[[]byte] {
	good := w.platform.Collateral().Marshal()
	var members map[string]string
	if err := json.Unmarshal(good, &members); err != nil {
		panic(err)
	}
	with := func(name string, value any) []byte {
		all := map[string]any{}
		for k, v := range members {
			all[k] = v
		}
		if all[name] = value; value == nil {
			delete(all, name)
		}
		return made(json.Marshal(all))
	}
	swap := func(a, b string) []byte {
		all := maps.Clone(members)
		all[a], all[b] = all[b], all[a]
		return made(json.Marshal(all))
	}
	in := func(name, old, new string) []byte {
		if !strings.Contains(members[name], old) {
			panic(name + " has no " + old)
		}
		return with(name, strings.Replace(members[name], old, new, 1))
	}
	flip := func(name string) []byte { // the last bit of something in hex
		raw := made(hex.DecodeString(members[name]))
		raw[len(raw)-1] ^= 1
		return with(name, hex.EncodeToString(raw))
	}
	broken := func(f simulated.Fault) []byte {
		return w.hardware(func(c *simulated.Config) { c.Fault = f }).Collateral().Marshal()
	}
	const notText = "not a JSON object: jsontext: invalid UTF-8" // where a file may be of either maker
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")}))
	faults := []fault[[]byte]{
		// The file. (Evidence with empty collateral has none, and the verifier's own is asked for.)
		{"a space", []byte(" "), "collateral: ", nil},
		{"a web page", []byte("<html></html>"), "collateral: ", nil},
		{"an array", append(append([]byte("["), good...), ']'), "collateral: ", nil},
		{"null", []byte("null"), "collateral: ", nil},
		{"cut off", good[:len(good)/2], "collateral: ", nil},
		{"two documents", append(bytes.Clone(good), good...), "collateral: ", nil},
		{"a byte order mark", append([]byte("\ufeff"), good...), "collateral: ", nil},
		{"1 MiB", append(bytes.Clone(good), bytes.Repeat([]byte(" "), 1<<20)...), "1048576", nil},
		{"nested deeply", append([]byte(`{"tcb_info":`), bytes.Repeat([]byte("["), 100000)...), "collateral: ", nil},
		{"invalid UTF-8", bytes.Replace(good, []byte("-----BEGIN"), []byte("\xff----BEGIN"), 1), "characters outside of ASCII", but{
			"ctb inspect --collateral FILE": notText, "ctb inspect --collateral URL": notText, "ctb verify --collateral": notText, "ctb-gateway": notText,
		}},
		{"an unknown member", with("tcbinfo", "x"), `tcbinfo`, nil},
		{"a member twice", bytes.Replace(good, []byte("{"), []byte(`{"pck_crl":"00",`), 1), "pck_crl", nil},
		{"no TCB info", with("tcb_info", nil), "tcb_info", nil},
		{"TCB info as an object", with("tcb_info", json.RawMessage(members["tcb_info"])), "tcb_info", nil},
		{"an empty revocation list", with("pck_crl", ""), "pck_crl: it is empty", nil},
		{"an odd hex digit", with("root_ca_crl", members["root_ca_crl"]+"0"), "root_ca_crl", nil},
		{"a signature of 63 bytes", with("tcb_info_signature", members["tcb_info_signature"][2:]), "tcb_info_signature: got 126 hex digits", nil},

		// Its parts.
		{"a private key for a chain", with("tcb_info_issuer_chain", key), "TCB info issuer chain", nil},
		{"a chain without its root", with("tcb_info_issuer_chain", members["tcb_info_issuer_chain"][:strings.LastIndex(members["tcb_info_issuer_chain"], "-----BEGIN")]), "TCB info issuer chain", nil},
		{"a chain of ten", with("pck_crl_issuer_chain", strings.Repeat(members["pck_crl_issuer_chain"], 5)), "PCK CRL issuer chain", nil},
		{"chains exchanged", swap("pck_crl_issuer_chain", "tcb_info_issuer_chain"), "issuer chain", nil},
		{"documents exchanged", swap("tcb_info", "qe_identity"), "not signed by", nil},
		{"revocation lists exchanged", swap("root_ca_crl", "pck_crl"), "CRL", nil},
		{"revocation lists the same", with("pck_crl", members["root_ca_crl"]), "PCK CRL", nil},
		{"revocation list with a byte behind", with("pck_crl", members["pck_crl"]+"00"), "PCK CRL: got 1 bytes behind", nil},
		{"revocation list changed", flip("pck_crl"), "PCK CRL: not signed by", nil},
		{"root's revocation list changed", flip("root_ca_crl"), "root CRL: not signed by", nil},
		{"TCB info with one more space", in("tcb_info", "{", "{ "), "TCB info: not signed by", nil},
		{"TCB info with a level changed", in("tcb_info", "OutOfDate", "UpToDate"), "TCB info: not signed by", nil},
		{"TCB info's signature changed", flip("tcb_info_signature"), "TCB info: not signed by", nil},
		{"signature of zeros", with("qe_identity_signature", strings.Repeat("0", 128)), "QE identity: not signed by", nil},
		{"QE identity changed", in("qe_identity", `"isvsvn":8`, `"isvsvn":1`), "QE identity: not signed by", nil},

		// What it says, duly signed.
		{"platform revoked", broken(simulated.PCKRevoked), "PCK certificate: revoked", nil},
		{"platform's CA revoked", broken(simulated.PCKCARevoked), "revoked", nil},
		{"signer revoked", broken(simulated.TCBSignerRevoked), "revoked", nil},
		{"signer expired", broken(simulated.TCBSignerExpired), "TCB info signer certificate: not valid after", nil},
		{"signer by another name", broken(simulated.TCBSignerMisnamed), "issuer chain: common name", nil},
		{"TCB info expired", broken(simulated.TCBInfoExpired), "TCB info", nil},
		{"TCB info for later", broken(simulated.TCBInfoNotYetValid), "TCB info", nil},
		{"TCB info by somebody else", broken(simulated.TCBInfoForged), "TCB info: not signed by", nil},
		{"TCB info of other platforms", broken(simulated.TCBInfoOfOtherFMSPC), "fmspc", nil},
		{"TCB info of TDX", broken(simulated.TCBInfoOfTDX), "TCB info: id", nil},
		{"QE identity expired", broken(simulated.QEIdentityExpired), "QE identity", nil},
		{"QE identity of TDX", broken(simulated.QEIdentityOfTDX), "QE identity: id", nil},
		{"revocation list expired", broken(simulated.PCKCRLExpired), "PCK CRL", nil},
		{"revocation list of the other CA", broken(simulated.PCKCRLOfOtherCA), "PCK CRL", nil},
		{"under a look-alike of the root", broken(simulated.LookalikeRoot), "root CRL: not signed by", nil},
	}
	return &table[[]byte]{kind: "collateral", good: good, faults: faults, doors: collateralDoors(w),
		secret: func([]byte) []string { return []string{"c2VjcmV0"} }} // of the private key
}

func collateralDoors(w *world) []door[[]byte] {
	quote := made(w.platform.Quote(w.t.Context(), [64]byte{1})).Quote
	inspect := func(t *testing.T, source string, more ...string) answer {
		return call(t, nil, exits{1, 2}, "ctb", append([]string{"inspect", w.path("cert.der"), "--json", "--policy", w.path("policy.yaml"), "--collateral", source}, more...)...)
	}
	return []door[[]byte]{
		{name: "dcap.ParseCollateral", open: func(t *testing.T, c []byte) answer {
			parsed, err := dcap.ParseCollateral(c)
			if err != nil {
				return of(err)
			}
			v := dcap.Verifier{Root: w.platform.Root(), Collateral: parsed}
			_, err = v.Verify(t.Context(), &attest.Evidence{Platform: "dcap", Quote: quote}, w.now)
			return of(err)
		}},
		{name: "dcap.Verifier, with the evidence", open: func(t *testing.T, c []byte) answer {
			v := dcap.Verifier{Root: w.platform.Root()} // without a source to fall back to
			_, err := v.Verify(t.Context(), &attest.Evidence{Platform: "dcap", Quote: quote, Collateral: c}, w.now)
			return of(err)
		}},
		{name: "ctb inspect --collateral FILE", open: func(t *testing.T, c []byte) answer {
			return inspect(t, temp(t, "collateral.json", c))
		}},
		{name: "ctb inspect --collateral URL", open: func(t *testing.T, c []byte) answer {
			return inspect(t, w.files.once(c), "--ca", w.path("tls.pem"))
		}},
		{name: "ctb verify --collateral", open: func(t *testing.T, c []byte) answer {
			return call(t, []byte(w.token()), exits{1, 2}, "ctb", "verify", "-", "--json", "--jwks", w.path("jwks.json"), "--issuer", issuer,
				"--audience", ctbtest.Audience, "--policy", w.path("policy.yaml"), "--collateral", temp(t, "collateral.json", c))
		}},
		{name: "ctb-gateway", open: func(t *testing.T, c []byte) answer {
			text := strings.Replace(w.gatewayText(w.files.once(w.jwks)), "collateral: collateral.json", "collateral: "+temp(t, "collateral.json", c), 1)
			return w.gateway(t, w.beside(t, "gateway.yaml", []byte(text), gatewayFiles...), w.token())
		}},
	}
}
