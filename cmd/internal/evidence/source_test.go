package evidence_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/confidential-token-broker/ctb/cmd/internal/configfile"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// TestSourceInYAML: a text is the file, a mapping says more, and mistakes have their line.
func TestSourceInYAML(t *testing.T) {
	for text, want := range map[string]evidence.Source{
		"collateral: c.json":         {File: "c.json"},
		"other: 1":                   {},
		"collateral: {file: c.json}": {File: "c.json"},
		"collateral:\n  pcs: intel\n  update: early\n":    {PCS: "intel", Update: "early"},
		"collateral: {pcs: q, api_key_file: k, cache: d}": {PCS: "q", APIKeyFile: "k", Cache: "d"},
		"collateral: {pcs: intel, kds: amd, ca_path: a}":  {PCS: "intel", KDS: "amd", CA: "a"},
	} {
		got, err := decode(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"collateral: [c.json]":               "f:1:13: collateral: got a list, want keys and values",
		"collateral:\n  fil: c.json":         `f:2:3: unknown field "fil" in collateral, did you mean "file"?`,
		"collateral:\n  pcs: a\n  pcs: b":    `f:3:3: mapping key "pcs" already defined at [2:3]`,
		"collateral:\n  pcs: a\n  file: [x]": "f:3:9: collateral.file: got a list, want text",
	} {
		if _, err := decode(text); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// TestEmptyInYAML: a key without a value, as of an unset variable, does not turn off what it asks for.
func TestEmptyInYAML(t *testing.T) {
	for text, key := range map[string]string{
		`{pcs: intel, ca_path: ""}`: "ca_path", "{pcs: intel, ca_path: }": "ca_path", "{pcs: null, file: c.json}": "pcs",
		`{pcs: intel, file: ""}`: "file", `{pcs: intel, update: ""}`: "update", `{pcs: intel, kds: ""}`: "kds", `{pcs: intel, api_key_file: ""}`: "api_key_file",
	} {
		s, err := decode("collateral: " + text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		var fault *evidence.KeyError
		if err := s.Validate(); !errors.As(err, &fault) || fault.Key != key {
			t.Errorf("%s: got %v, want an error of %s", text, err, key)
		}
	}
}

func decode(text string) (evidence.Source, error) {
	var c struct {
		Collateral evidence.Source `yaml:"collateral"`
		Other      int             `yaml:"other"`
	}
	_, err := configfile.Decode("f", []byte(text), &c)
	return c.Collateral, err
}

func TestValidateSource(t *testing.T) {
	for _, s := range []evidence.Source{
		{}, {File: "c.json"}, {PCS: "intel", Update: "standard", Cache: "d"}, {PCS: "qcnl"}, {PCS: "my_qcnl.conf"},
		{PCS: "https://pccs.example.com:8081/sgx/certification/v4/", APIKeyFile: "k"},
		{KDS: "amd", Cache: "d", CA: "a", File: "c.json"}, {KDS: "https://kds.example.com"}, {KDS: "http://127.0.0.1:1"}, {PCS: "intel", KDS: "amd", Update: "early"},
	} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, c := range []struct {
		source evidence.Source
		key    string
	}{
		{evidence.Source{PCS: "intel", Update: "late"}, "update"},
		{evidence.Source{File: "f", Update: "early"}, "update"},
		{evidence.Source{File: "f", Cache: "d"}, "cache"},
		{evidence.Source{APIKeyFile: "k"}, "api_key_file"},
		{evidence.Source{KDS: "amd", APIKeyFile: "k"}, "api_key_file"},
		{evidence.Source{KDS: "amd", Update: "early"}, "update"},
		{evidence.Source{CA: "a"}, "ca_path"},
		{evidence.Source{KDS: "intel"}, "kds"},
		{evidence.Source{KDS: "http://kds.example.com"}, "kds"},
		{evidence.Source{KDS: "ftp://kds.example.com"}, "kds"},
		{evidence.Source{PCS: "ftp://pccs.example.com"}, "pcs"},
		{evidence.Source{PCS: "https://"}, "pcs"},
	} {
		var fault *evidence.KeyError
		if err := c.source.Validate(); !errors.As(err, &fault) || fault.Key != c.key {
			t.Errorf("%+v: got %v, want an error of %s", c.source, err, c.key)
		}
	}
}

// TestSourceFiles: what is watched, and what a configuration makes relative to itself.
func TestSourceFiles(t *testing.T) {
	for _, c := range []struct {
		source evidence.Source
		files  []string
		paths  int
	}{
		{evidence.Source{}, nil, 0},
		{evidence.Source{File: "f", PCS: "intel", APIKeyFile: "k", Cache: "d"}, []string{"f", "k"}, 3},
		{evidence.Source{PCS: "qcnl"}, []string{"/etc/sgx_default_qcnl.conf"}, 0},
		{evidence.Source{PCS: "my.conf"}, []string{"my.conf"}, 1},
		{evidence.Source{PCS: "https://pccs.example.com/"}, nil, 0},
		{evidence.Source{KDS: "amd", CA: "a", Cache: "d"}, []string{"a"}, 2},
	} {
		if got := c.source.Files(); !slices.Equal(got, c.files) {
			t.Errorf("%+v: files: got %q, want %q", c.source, got, c.files)
		}
		n := 0
		for _, p := range c.source.Paths() {
			if *p != "" {
				n++
			}
		}
		if n != c.paths {
			t.Errorf("%+v: got %d paths, want %d", c.source, n, c.paths)
		}
	}
}
