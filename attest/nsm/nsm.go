// Package nsm gets evidence of an AWS Nitro Enclave from its security module, the device /dev/nsm.
//
// It asks, and checks that the attestation document carries the report data that was asked for, as its user data. Whether a
// document is genuine is the question of package nitro.
package nsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/hf/nsm"
	"github.com/hf/nsm/request"
	"github.com/hf/nsm/response"

	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/internal/patient"
)

// Quoter gets attestation documents. It is safe for concurrent use; the driver lets one request at a time to the device,
// and so it asks for one at a time, each in a session of its own, so that one which has gone bad harms no other.
type Quoter struct {
	// Options say how the device is opened and called; nil means /dev/nsm. Syscall gets the address of a message on its
	// caller's stack, as a number. That holds for syscall.Syscall, which lets nothing move the stack before the kernel has answered; one of
	// your own must make a pointer of it first of all, in a function that is go:nosplit.
	Options *nsm.Options

	line patient.Line
}

// Detect tells whether documents can be had here, without asking for one. It returns the id of the module.
func (q *Quoter) Detect(ctx context.Context) (string, error) {
	answer, err := q.send(ctx, &request.DescribeNSM{})
	if err != nil {
		return "", err
	}
	if answer.DescribeNSM == nil || answer.DescribeNSM.ModuleID == "" {
		return "", errors.New("nsm: the device does not say which module it is: it is no Nitro security module")
	}
	return answer.DescribeNSM.ModuleID, nil
}

// Quote returns an attestation document with data as its user data. It can be verified until Evidence.NotAfter, some hours.
func (q *Quoter) Quote(ctx context.Context, data [64]byte) (*tee.Evidence, error) {
	answer, err := q.send(ctx, &request.Attestation{UserData: data[:]})
	if err != nil {
		return nil, err
	}
	if answer.Attestation == nil || len(answer.Attestation.Document) == 0 {
		return nil, errors.New("nsm: the device answered something else than an attestation document")
	}
	quote := answer.Attestation.Document
	d, err := read(quote)
	if err != nil {
		return nil, fmt.Errorf("nsm: got %d bytes that are no attestation document: %w", len(quote), err)
	}
	if !bytes.Equal(d.userData, data[:]) {
		return nil, fmt.Errorf("nsm: the document carries other report data than was asked for: got user_data %.64x, want %x", d.userData, data)
	}
	return &tee.Evidence{Platform: tee.Nitro, Quote: quote, NotAfter: d.notAfter}, nil
}

// send asks the device, in a session of its own.
func (q *Quoter) send(ctx context.Context, r request.Request) (response.Response, error) {
	answer, err := patient.Do(ctx, &q.line, func() (answer response.Response, err error) {
		options := nsm.DefaultOptions
		if q.Options != nil {
			options = *q.Options
		}
		session, err := nsm.OpenSession(options)
		if err != nil {
			return answer, opening(err)
		}
		defer session.Close() // it keeps nothing that could be lost
		if answer, err = session.Send(r); err != nil {
			return answer, sending(err)
		}
		return answer, refusal(answer.Error)
	})
	if errors.Is(err, patient.ErrNotBack) {
		err = fmt.Errorf("%w; the security module or its driver hangs, see the kernel's log", err)
	}
	if err != nil {
		return answer, fmt.Errorf("nsm: %w", err)
	}
	return answer, nil
}

// opening adds what to do about an error of opening the device.
func opening(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: is this a Nitro Enclave, and its driver loaded (modprobe nsm)?", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: let the broker's user read the device", err)
	}
	return err
}

// sending tells which error of the driver it was (drivers/misc/nsm.c).
func sending(err error) error {
	failed, ok := errors.AsType[*nsm.ErrorIoctlFailed](err)
	switch {
	case !ok: // the answer is not of the module's form
		return fmt.Errorf("the device's answer can't be read: %w", err)
	case failed.Errno == syscall.ETIMEDOUT:
		return fmt.Errorf("ioctl: %w: the module did not answer the driver in time", failed.Errno)
	case failed.Errno == syscall.ENOTTY, failed.Errno == syscall.EINVAL:
		return fmt.Errorf("ioctl: %w: the device is no Nitro security module", failed.Errno)
	}
	return fmt.Errorf("ioctl: %w", failed.Errno)
}

// refusal is the error that the module itself answers (aws-nitro-enclaves-nsm-api, ErrorCode).
func refusal(code response.ErrorCode) error {
	switch code {
	case "", response.ECSuccess:
		return nil
	case response.ECInternalError:
		return fmt.Errorf("the module refused: %s: it may go well another time", code)
	}
	return fmt.Errorf("the module refused: %.40q", string(code))
}
