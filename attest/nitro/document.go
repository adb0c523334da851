package nitro

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// MaxDocument bounds a document with COSE_Sign1 around it, in bytes: AWS's has at most 16 KiB in it (section 3.1), and genuine ones some 5.
const MaxDocument = maxPayload + 256

// Bounds of what a document has, in bytes or in numbers (section 3.2.2.2).
const (
	maxPayload     = 16 << 10
	maxModuleID    = 256 // AWS names none; genuine ones have some 40
	maxRegisters   = 32
	registerSize   = 48 // SHA-384, the one digest that there is
	maxBundle      = 8  // AWS names none; genuine ones have 4
	maxCertificate = 1024
	maxPublicKey   = 1024
	maxUserData    = 512
	maxNonce       = 512
	signatureSize  = 96 // of ES384: r ‖ s
)

// Document is an attestation document, read and not verified.
type Document struct {
	ModuleID    string    // of the module that signed it
	Timestamp   time.Time // when it was made, by the module's clock, in milliseconds
	PCRs        map[uint8][]byte
	Certificate []byte   // DER: of the key that signed it
	CABundle    [][]byte // DER: the root first, then each that the one before has issued
	PublicKey   []byte   // nil if there is none, as the next two
	UserData    []byte
	Nonce       []byte

	sign1   []byte // the whole, without its tag
	payload []byte // what is signed
}

// sign1 is COSE_Sign1 (RFC 9052 section 4.2).
type sign1 struct {
	_           struct{} `cbor:",toarray"`
	Protected   cbor.RawMessage
	Unprotected cbor.RawMessage
	Payload     cbor.RawMessage
	Signature   cbor.RawMessage
}

// wire is the document as it is encoded.
type wire struct {
	ModuleID    string                     `cbor:"module_id"`
	Digest      string                     `cbor:"digest"`
	Timestamp   uint64                     `cbor:"timestamp"`
	PCRs        map[uint64]cbor.RawMessage `cbor:"pcrs"`
	Certificate cbor.RawMessage            `cbor:"certificate"`
	CABundle    []cbor.RawMessage          `cbor:"cabundle"`
	PublicKey   cbor.RawMessage            `cbor:"public_key"`
	UserData    cbor.RawMessage            `cbor:"user_data"`
	Nonce       cbor.RawMessage            `cbor:"nonce"`
}

// The headers of every document, encoded: {1: -35}, the algorithm ES384 (RFC 9053 section 2.1), in a byte string, and none that is not signed.
var (
	protectedHeader   = []byte{0x44, 0xa1, 0x01, 0x38, 0x22}
	unprotectedHeader = []byte{0xa0}
)

// tagSign1 is the CBOR tag 18, which may stand before COSE_Sign1 (RFC 9052 section 2).
const tagSign1 = 0xd2

// ParseDocument reads an attestation document of at most [MaxDocument] bytes, COSE_Sign1 in CBOR. It checks the form alone. Around the
// part that is signed there is one encoding, so nobody can change a bit and have another document that says the same.
func ParseDocument(data []byte) (*Document, error) {
	if len(data) > MaxDocument {
		return nil, fmt.Errorf("document: too large: got %d bytes, want at most %d", len(data), MaxDocument)
	}
	d := &Document{sign1: bytes.Clone(bytes.TrimPrefix(data, []byte{tagSign1}))}
	if err := d.open(); err != nil {
		return nil, err
	}
	var w wire
	if err := strict.Unmarshal(d.payload, &w); err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	if err := d.read(&w); err != nil {
		return nil, err
	}
	return d, nil
}

// open takes the payload out of COSE_Sign1 (section 3.1).
func (d *Document) open() error {
	var s sign1
	if err := strict.Unmarshal(d.sign1, &s); err != nil {
		return fmt.Errorf("document: not COSE_Sign1: %w", err)
	}
	if !bytes.Equal(s.Protected, protectedHeader) {
		return fmt.Errorf("document: protected header: got %.32x, want %x, the algorithm ES384 alone", []byte(s.Protected), protectedHeader)
	}
	if !bytes.Equal(s.Unprotected, unprotectedHeader) {
		return fmt.Errorf("document: unprotected header: got %.32x, want %x, an empty map", []byte(s.Unprotected), unprotectedHeader)
	}
	signature, err := byteString("signature", s.Signature, signatureSize, signatureSize)
	if err != nil {
		return err
	}
	if d.payload, err = byteString("payload", s.Payload, 1, maxPayload); err != nil {
		return err
	}
	again, err := deterministic.Marshal([]any{s.Protected, s.Unprotected, d.payload, signature})
	if err != nil || !bytes.Equal(again, d.sign1) {
		return errors.New("document: not COSE_Sign1 in its shortest form (RFC 8949 section 4.2.1)")
	}
	return nil
}

// read takes the members, and holds them to section 3.2.2.
func (d *Document) read(w *wire) error {
	switch {
	case w.ModuleID == "" || len(w.ModuleID) > maxModuleID:
		return fmt.Errorf("document: module_id: got %d bytes, want 1 to %d", len(w.ModuleID), maxModuleID)
	case w.Digest != "SHA384":
		return fmt.Errorf("document: digest: got %.32q, want \"SHA384\"", w.Digest)
	case w.Timestamp == 0 || w.Timestamp > math.MaxInt64:
		return fmt.Errorf("document: timestamp: got %d, want milliseconds since 1970", w.Timestamp)
	}
	d.ModuleID, d.Timestamp = w.ModuleID, time.UnixMilli(int64(w.Timestamp)).UTC()
	if err := d.readRegisters(w.PCRs); err != nil {
		return err
	}
	if err := d.readBundle(w.CABundle); err != nil {
		return err
	}
	var err error
	if d.Certificate, err = byteString("certificate", w.Certificate, 1, maxCertificate); err != nil {
		return err
	}
	if d.PublicKey, err = optional("public_key", w.PublicKey, 1, maxPublicKey); err != nil {
		return err
	}
	if d.UserData, err = optional("user_data", w.UserData, 0, maxUserData); err != nil {
		return err
	}
	d.Nonce, err = optional("nonce", w.Nonce, 0, maxNonce)
	return err
}

func (d *Document) readRegisters(pcrs map[uint64]cbor.RawMessage) error {
	if n := len(pcrs); n == 0 || n > maxRegisters {
		return fmt.Errorf("document: pcrs: got %d, want 1 to %d", n, maxRegisters)
	}
	d.PCRs = map[uint8][]byte{}
	for i, raw := range pcrs {
		if i >= maxRegisters {
			return fmt.Errorf("document: pcrs: got a register %d, want 0 to %d", i, maxRegisters-1)
		}
		value, err := byteString(fmt.Sprintf("pcrs[%d]", i), raw, registerSize, registerSize)
		if err != nil {
			return err
		}
		d.PCRs[uint8(i)] = value
	}
	return nil
}

func (d *Document) readBundle(bundle []cbor.RawMessage) error {
	if n := len(bundle); n == 0 || n > maxBundle {
		return fmt.Errorf("document: cabundle: got %d certificates, want 1 to %d", n, maxBundle)
	}
	for i, raw := range bundle {
		der, err := byteString(fmt.Sprintf("cabundle[%d]", i), raw, 1, maxCertificate)
		if err != nil {
			return err
		}
		d.CABundle = append(d.CABundle, der)
	}
	return nil
}
