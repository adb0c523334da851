package dcap

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestQuotesMarshalToThemselves: what parses marshals to the same bytes.
func TestQuotesMarshalToThemselves(t *testing.T) {
	for _, name := range []string{processorQuote, platformQuote, originalQuote, tdxQuote} {
		t.Run(name, func(t *testing.T) {
			data := vector(t, name)
			q, err := ParseQuote(data)
			if err != nil {
				t.Fatal(err)
			}
			again, err := q.Marshal()
			if err != nil || !bytes.Equal(again, data) {
				t.Errorf("got %x, %v", again, err)
			}
			signed, qe := 432, 436+128
			if q.TD != nil {
				signed, qe = 48+584, 48+584+4+128+6
			}
			if !bytes.Equal(q.Signed(), data[:signed]) {
				t.Error("what is signed is not what came")
			}
			if !bytes.Equal(q.Signature.QE.Report.Marshal(), data[qe:qe+384]) {
				t.Error("the report of the quoting enclave is not what came")
			}
		})
	}
}

func TestMarshalRefuses(t *testing.T) {
	enclave, td := new(EnclaveReport), new(TDReport)
	for want, q := range map[string]*Quote{
		"quote: want an enclave report or a TD report, and one alone":                            {},
		"quote: want an enclave report or a TD report, and one alone ":                           {Enclave: enclave, TD: td},
		"quote: the report is not of the TEE type 0x0":                                           {TD: td},
		"quote: the report is not of the TEE type 0x81":                                          {Header: Header{TEE: teeTDX}, Enclave: enclave},
		"quote: version 4 has no report of TDX 1.5, version 5 has":                               {Header: Header{Version: 4, TEE: teeTDX}, TD: &TDReport{TDX15: true}},
		"quote: padding: got -1, want 0 to 65536":                                                {Enclave: enclave, Padding: -1},
		"quote: padding: got 1, want 0 in version 3":                                             {Header: Header{Version: 3}, Enclave: enclave, Padding: 1},
		"quote: version: got 6, want 3, 4 or 5":                                                  {Header: Header{Version: 6}, Enclave: enclave},
		"quote: authentication data of the quoting enclave: got 65536 bytes, want at most 65535": {Header: Header{Version: 3}, Enclave: enclave, Signature: Signature{QE: QE{AuthData: make([]byte, 65536)}}},
		"quote: certification data: got 65537 bytes, want at most 65536":                         {Header: Header{Version: 3}, Enclave: enclave, Signature: Signature{Certification: Certification{Data: make([]byte, 65537)}}},
	} {
		if _, err := q.Marshal(); err == nil || err.Error() != strings.TrimSpace(want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestCollateralMarshalsToItself: the file that Marshal writes has the values of that which was read, and no other.
func TestCollateralMarshalsToItself(t *testing.T) {
	for _, name := range []string{processorCollateral, platformCollateral, tdxCollateral} {
		t.Run(name, func(t *testing.T) {
			data := vector(t, name)
			c, err := ParseCollateral(data)
			if err != nil {
				t.Fatal(err)
			}
			var got, want map[string]string
			if err := json.Unmarshal(c.Marshal(), &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %v\nwant %v", got, want)
			}
		})
	}
}

// TestPCKChainInCollateral: newer collateral files may have the quote's own chain, or null, as a tenth member.
func TestPCKChainInCollateral(t *testing.T) {
	e, _ := newForge().make(t)
	c, err := ParseCollateral(e.Collateral)
	if err != nil {
		t.Fatal(err)
	}
	c.PCKCertificateChain = "-----BEGIN CERTIFICATE-----\n"
	again, err := ParseCollateral(c.Marshal())
	if err != nil || !reflect.DeepEqual(c, again) {
		t.Errorf("got %+v, %v", again, err)
	}
	c.PCKCertificateChain = ""
	null := bytes.Replace(e.Collateral, []byte("{"), []byte(`{"pck_certificate_chain": null,`), 1)
	again, err = ParseCollateral(null)
	if err != nil || !reflect.DeepEqual(c, again) {
		t.Errorf("null: got %+v, %v", again, err)
	}
}
