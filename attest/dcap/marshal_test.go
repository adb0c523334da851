package dcap

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// TestQuotesMarshalToThemselves: what parses marshals to the same bytes.
func TestQuotesMarshalToThemselves(t *testing.T) {
	for _, name := range []string{processorQuote, platformQuote, originalQuote} {
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
			if !bytes.Equal(q.Signed(), data[:432]) {
				t.Error("what is signed is not what came")
			}
			if !bytes.Equal(q.Signature.QE.Report.Marshal(), data[436+128:436+128+384]) {
				t.Error("the report of the quoting enclave is not what came")
			}
		})
	}
}

func TestMarshalRefuses(t *testing.T) {
	for want, q := range map[string]*Quote{
		"quote: no enclave report": {},
		"quote: authentication data of the quoting enclave: got 65536 bytes, want at most 65535": {Enclave: new(EnclaveReport), Signature: Signature{QE: QE{AuthData: make([]byte, 65536)}}},
		"quote: certification data: got 65537 bytes, want at most 65536":                         {Enclave: new(EnclaveReport), Signature: Signature{Certification: Certification{Data: make([]byte, 65537)}}},
	} {
		if _, err := q.Marshal(); err == nil || err.Error() != want {
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
