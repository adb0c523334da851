package pcs

import (
	"strings"
	"testing"
)

// documented is a configuration as Intel's packages install it, in our words.
const documented = `{
  // *** ATTENTION : a comment, with "quotes" in it
  // the server of certificates
  "pccs_url": "https://localhost:8081/sgx/certification/v4/",

  // To accept a self-signed certificate, set this to false
  "use_secure_cert": true,

  /* Intel's own service may be asked for
     collateral */
  //,"collateral_service": "https://api.trustedservices.intel.com/sgx/certification/v4/"

  // "early" or "standard"
  //,"tcb_update_type" : "standard"
  "pccs_api_version": "3.1",
  "retry_times": 6,
  "pck_cache_expire_hours": 168,
  "custom_request_options" : {"get_cert" : {"headers": {"head1": "value1"}, "params": {"pccs_url": false}}}
}`

func TestParseQCNL(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want QCNL
		url  string
	}{
		"as installed": {documented,
			QCNL{PCCSURL: "https://localhost:8081/sgx/certification/v4/", UseSecureCert: true, PCCSAPIVersion: "3.1"},
			"https://localhost:8081/sgx/certification/v4/"},
		"collateral from elsewhere": {`{"collateral_service":"https://c.example","pccs_url":"https://p.example"}`,
			QCNL{PCCSURL: "https://p.example", CollateralService: "https://c.example", UseSecureCert: true}, "https://c.example"},
		"no secure certificate, early": {`/* first */ {"pccs_url":"https:\/\/p.example","use_secure_cert":false,"tcb_update_type":"Early"} // last`,
			QCNL{PCCSURL: "https://p.example", TCBUpdateType: "early"}, "https://p.example"},
		"an escaped quote before slashes": {`{"a":"\"//","pccs_url":"https://p.example"}`,
			QCNL{PCCSURL: "https://p.example", UseSecureCert: true}, "https://p.example"},
		"with the line ends of Windows": {"{\r\n// x\r\n\"pccs_url\":\r\n\"https://p.example\"}\r\n",
			QCNL{PCCSURL: "https://p.example", UseSecureCert: true}, "https://p.example"},
		"the older form": {"# PCCS server address\r\nPCCS_URL=https://localhost:8081/sgx/certification/v3/\r\n\r\n# x\r\n USE_SECURE_CERT = FALSE \r\nRETRY_TIMES=6\r\n",
			QCNL{PCCSURL: "https://localhost:8081/sgx/certification/v3/"}, "https://localhost:8081/sgx/certification/v3/"},
		"the older form, collateral from elsewhere": {"#PCCS_URL=https://no.example\nPCCS_URL=https://p.example\nCOLLATERAL_SERVICE=https://c.example\nUSE_SECURE_CERT=true\nPCCS_API_VERSION=3.1\nnonsense",
			QCNL{PCCSURL: "https://p.example", CollateralService: "https://c.example", UseSecureCert: true, PCCSAPIVersion: "3.1"}, "https://c.example"},
		"nothing": {"", QCNL{UseSecureCert: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseQCNL([]byte(c.file))
			if err != nil {
				t.Fatal(err)
			}
			if *got != c.want {
				t.Errorf("got %+v, want %+v", *got, c.want)
			}
			url, err := got.URL()
			if url != c.url || (err == nil) != (c.url != "") {
				t.Errorf("got the URL %q, %v, want %q", url, err, c.url)
			}
		})
	}
}

func TestParseQCNLRefuses(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"a number for a URL":         {"{\n\"pccs_url\": 8081}", "line 2: pccs_url: got \"8081\", want a string"},
		"null for a URL":             {"{\n\n\"collateral_service\":null}", "line 3: collateral_service: got \"null\", want a string"},
		"a text for a switch":        {"{\"a\":1,\n// x\n\"use_secure_cert\": \"false\"}", "line 3: use_secure_cert: got \"\\\"false\\\"\", want true or false"},
		"a key twice":                {"{\"pccs_url\":\"a\",\n\"pccs_url\":\"b\"}", "line 2: pccs_url comes twice"},
		"a channel that there isn't": {`{"tcb_update_type":"late"}`, `tcb_update_type: got "late"`},
		"a comma at the end":         {"{\"pccs_url\":\"a\",\n}", "line 2: malformed JSON"},
		"a comment without an end":   {"{\n/* \"pccs_url\":\"a\"}", "line 2: malformed JSON"},
		"half a file":                {"{\"pccs_url\":", "malformed JSON"},
		"two objects":                {"{}\n{}", "line 2: malformed JSON"},
		"another word, older form":   {"PCCS_URL=a\nUSE_SECURE_CERT=no", `line 2: USE_SECURE_CERT: got "no", want TRUE or FALSE`},
		"a line twice":               {"PCCS_URL=a\nPCCS_URL=b", "line 2: PCCS_URL comes twice"},
		"a large file":               {strings.Repeat(" ", maxQCNL+1), "want at most 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseQCNL([]byte(c.file))
			wantError(t, err, "qcnl.conf: ", c.want)
		})
	}
}
