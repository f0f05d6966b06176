package stateset

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// WebhookTolerance is how far the time of a webhook may lie from now.
const WebhookTolerance = 5 * time.Minute

var unsigned = regexp.MustCompile(`^[0-9]{1,15}$`)

// VerifyWebhook fails unless the body was signed with the secret (whsec_…) within the last five minutes, by the public standard:
// webhook-id, webhook-timestamp and webhook-signature over id.timestamp.body. The body is what was received, byte for byte:
// verify before parsing. A webhook may come again: remember its id.
//
// Codes: webhook_secret, webhook_headers, webhook_too_old, webhook_too_new, webhook_invalid_signature.
func VerifyWebhook(secret string, headers http.Header, body []byte, now time.Time) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) == 0 {
		return broken("webhook_secret", "the secret is not whsec_ and base64")
	}
	id, at, signatures := headers.Get("webhook-id"), headers.Get("webhook-timestamp"), headers.Get("webhook-signature")
	if id == "" || signatures == "" || !unsigned.MatchString(at) {
		return broken("webhook_headers", "webhook-id, webhook-timestamp (seconds) and webhook-signature are needed")
	}
	seconds, _ := strconv.ParseInt(at, 10, 64)
	switch age := now.Unix() - seconds; {
	case age > int64(WebhookTolerance/time.Second):
		return broken("webhook_too_old", "it was sent %d s ago", age)
	case age < -int64(WebhookTolerance/time.Second):
		return broken("webhook_too_new", "its time is %d s ahead", -age)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	expected := mac.Sum(nil)
	for _, entry := range strings.Split(signatures, " ") {
		encoded, found := strings.CutPrefix(entry, "v1,")
		if given, err := base64.StdEncoding.DecodeString(encoded); found && err == nil && hmac.Equal(given, expected) {
			return nil
		}
	}
	return broken("webhook_invalid_signature", "no signature is of this secret over this body")
}
