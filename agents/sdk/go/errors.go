package stateset

import (
	"errors"
	"fmt"
)

// Kind tells errors apart by what the caller can do about them.
type Kind string

const (
	// Broken: a rule is broken, of VES or of webhooks. Nothing was sent, or what was given does not verify.
	Broken Kind = "broken"
	// Refused: the server answered and said no; Status and RequestID are set.
	Refused Kind = "refused"
	// Unreachable: no answer came, as often as was asked.
	Unreachable Kind = "unreachable"
	// Unreadable: the answer is not what the protocol says.
	Unreadable Kind = "unreadable"
	// Untrue: the server claimed something that does not verify; Code is that of the check that failed.
	Untrue Kind = "untrue"
)

// Error is every error of this package.
type Error struct {
	Kind    Kind
	Code    string
	Message string
	// Status is that of HTTP, where Kind is Refused.
	Status int
	// RequestID names the request in the server's log.
	RequestID string
	cause     error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (%s): %s", e.Kind, e.Code, e.Message)
}

func (e *Error) Unwrap() error { return e.cause }

// Code is that of an [*Error], and empty for any other.
func Code(err error) string {
	var found *Error
	if errors.As(err, &found) {
		return found.Code
	}
	return ""
}

func broken(code, format string, values ...any) error {
	return &Error{Kind: Broken, Code: code, Message: fmt.Sprintf(format, values...)}
}

func untrue(code, format string, values ...any) error {
	return &Error{Kind: Untrue, Code: code, Message: fmt.Sprintf(format, values...)}
}

// claimed makes a rule that the server breaks an untruth.
func claimed(err error) error {
	var found *Error
	if errors.As(err, &found) && found.Kind == Broken {
		return &Error{Kind: Untrue, Code: found.Code, Message: found.Message, cause: err}
	}
	return err
}
