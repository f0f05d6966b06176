package stateset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// attemptsMax is how often a request is sent at most.
	attemptsMax = 6
	// pauseFirst is the pause before the second attempt; it doubles from one to the next.
	pauseFirst = 100 * time.Millisecond
	// pauseMax: a server that asks for a longer pause than this is believed to be down.
	pauseMax       = 10 * time.Second
	requestTimeout = time.Minute
	// answerBytesMax is larger than any page: 1,000 events whose payloads share the server's limits.
	answerBytesMax = 256 << 20
)

type transport struct {
	base   string
	apiKey string
	client *http.Client
}

func newTransport(address, apiKey string, client *http.Client) (*transport, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" {
		return nil, broken("invalid_input", "url: %q should look like http://127.0.0.1:8080", address)
	}
	own := http.Client{}
	if client != nil {
		own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &transport{strings.TrimRight(address, "/"), apiKey, &own}, nil
}

func (t *transport) get(ctx context.Context, path string, query url.Values, into any) error {
	body, err := t.repeat(ctx, http.MethodGet, path, query, nil)
	return readInto(path, body, into, err)
}

// post may be repeated, as every post of this library: the server answers a repetition like the first.
func (t *transport) post(ctx context.Context, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return broken("invalid_input", "the request has no JSON form: %v", err)
	}
	answer, err := t.repeat(ctx, http.MethodPost, path, nil, raw)
	return readInto(path, answer, into, err)
}

func readInto(path string, body []byte, into any, err error) error {
	if err == nil && into != nil {
		// null would leave everything as it is.
		if text := bytes.TrimSpace(body); len(text) == 0 || text[0] != '{' {
			return unreadable(path, errors.New("an answer is an object"))
		}
		if problem := json.Unmarshal(body, into); problem != nil {
			err = unreadable(path, problem)
		}
	}
	return err
}

func unreadable(path string, problem error) error {
	return &Error{Kind: Unreadable, Code: "unreadable", Message: fmt.Sprintf("the server's answer to %s: %v", path, problem), cause: problem}
}

// stream is an answer that goes on; nil where the server has no such route.
//
// A server whose log has not come to the last number refuses: it is another log, or an older copy.
func (t *transport) stream(ctx context.Context, path string, query url.Values, last uint64) (io.ReadCloser, error) {
	headers := map[string]string{"accept": "text/event-stream", "last-event-id": strconv.FormatUint(last, 10)}
	response, err := t.send(ctx, http.MethodGet, path, query, nil, headers)
	if err != nil {
		return nil, &Error{Kind: Unreachable, Code: "unreachable", Message: err.Error(), cause: err}
	}
	if response.StatusCode == http.StatusOK && strings.HasPrefix(response.Header.Get("content-type"), "text/event-stream") {
		return response.Body, nil
	}
	defer response.Body.Close()
	if response.StatusCode/100 == 2 || response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusMethodNotAllowed {
		return nil, nil
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return nil, refusal(response.StatusCode, body)
}

func (t *transport) send(ctx context.Context, method, path string, query url.Values, body []byte, headers map[string]string) (*http.Response, error) {
	address := t.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("user-agent", "stateset-client-go/0.1.0")
	if t.apiKey != "" {
		request.Header.Set("x-api-key", t.apiKey)
	}
	if body != nil {
		request.Header.Set("content-type", "application/json")
	}
	return t.client.Do(request)
}

func (t *transport) repeat(ctx context.Context, method, path string, query url.Values, body []byte) ([]byte, error) {
	pause := pauseFirst
	for attempt := 1; ; attempt++ {
		last := attempt == attemptsMax
		status, header, answer, err := t.once(ctx, method, path, query, body)
		asked := pause
		switch {
		case err != nil && (last || ctx.Err() != nil || errors.Is(err, syscall.ECONNREFUSED)):
			// A refused connection means nobody listens: waiting for a server that is not there helps nobody.
			return nil, &Error{Kind: Unreachable, Code: "unreachable", Message: fmt.Sprintf("no answer from %s: %v", t.base, err), cause: err}
		case err != nil:
		case status/100 == 2:
			if len(answer) > answerBytesMax {
				return nil, unreadable(path, fmt.Errorf("longer than %d bytes", answerBytesMax))
			}
			return answer, nil
		default:
			if seconds, err := strconv.ParseUint(header.Get("retry-after"), 10, 20); err == nil {
				asked = time.Duration(seconds) * time.Second
			}
			isPassing := status == 429 || status == 503 || status == 504
			if last || !isPassing || asked > pauseMax {
				return nil, refusal(status, answer)
			}
		}
		sleep(ctx, asked)
		pause *= 2
	}
}

func (t *transport) once(ctx context.Context, method, path string, query url.Values, body []byte) (int, http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := t.send(ctx, method, path, query, body, map[string]string{"accept": "application/json"})
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax+1))
	return response.StatusCode, response.Header, answer, err
}

func refusal(status int, body []byte) error {
	var said struct {
		Error struct {
			Code      string `json:"code"`
			Message   string `json:"message"`
			RequestID string `json:"request_id"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Error.Code == "" {
		return &Error{Kind: Refused, Code: fmt.Sprintf("HTTP_%d", status), Message: string(body[:min(200, len(body))]), Status: status}
	}
	return &Error{Kind: Refused, Code: said.Error.Code, Message: said.Error.Message, Status: status, RequestID: said.Error.RequestID}
}

func sleep(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
