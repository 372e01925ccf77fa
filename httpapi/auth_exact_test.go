package httpapi_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// signer signs tokens whose header and claims are written by hand.
type signer struct {
	name, header string // the header's beginning, which names the algorithm and the key
	method       jwt.SigningMethod
	key          any
	rig          *rig
}

// token has header and claims as they are.
func (s signer) token(t testing.TB, header, claims string) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	signature, err := s.method.Sign(text, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// signers are the ways in which a hub checks tokens, each with a hub.
func signers(t *testing.T) []signer {
	k := testKeys()
	keys := newIssuer(t, jwk("ec", k.ec), jwk("rsa", k.rsa))
	jwks := newRig(t, withKeys(t, keys, time.Hour))
	return []signer{
		{"HS256", `{"alg":"HS256","typ":"JWT"`, jwt.SigningMethodHS256, []byte(tokenSecret), newRig(t, withSecret(t))},
		{"ES256", `{"alg":"ES256","kid":"ec"`, jwt.SigningMethodES256, k.ec, jwks},
		{"RS256", `{"alg":"RS256"`, jwt.SigningMethodRS256, k.rsa, jwks},
	}
}

// TestTokenNamesAreExact: a claim is what its exact name says, and a name that
// comes twice is no token's, in whatever order, as whatever kind of token.
func TestTokenNamesAreExact(t *testing.T) {
	future, past := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	rest := fmt.Sprintf(`,"exp":%d,"iss":"issuer","aud":"hub"`, future)
	const header = "" // nothing more
	for _, s := range signers(t) {
		owned := decode[chatSession](t, s.rig.do("POST", "/sessions", "", authorized(s.token(t, s.header+"}", `{"sub":"m"`+rest+"}"))).want(201)).ID
		for name, tt := range map[string]struct {
			header, claims string
			status         int // of a request for what is m's
		}{
			"as it should be":            {header, `{"sub":"m"` + rest + `}`, 200},
			"somebody else":              {header, `{"sub":"a"` + rest + `}`, 404},
			"Sub behind sub":             {header, `{"sub":"a","Sub":"m"` + rest + `}`, 404},
			"Sub in front of sub":        {header, `{"Sub":"m","sub":"a"` + rest + `}`, 404},
			"SUB, sUB and sub":           {header, `{"SUB":"m","sub":"a","sUB":"m"` + rest + `}`, 404},
			"other claims in capitals":   {header, `{"sub":"m","SUB":"a","EXP":1,"Iss":"x","AUD":"y","NBF":9e9,"Iat":"z"` + rest + `}`, 200},
			"Sub alone":                  {header, `{"Sub":"m"` + rest + `}`, 401},
			"a long s":                   {header, `{"sub":"a","` + "\u017f" + `ub":"m"` + rest + `}`, 404},
			"sub, escaped":               {header, `{"\u0073ub":"m"` + rest + `}`, 200},
			"EXP alone":                  {header, fmt.Sprintf(`{"sub":"m","EXP":%d,"iss":"issuer","aud":"hub"}`, future), 401},
			"Exp beside a past exp":      {header, fmt.Sprintf(`{"sub":"m","exp":%d,"Exp":%d,"iss":"issuer","aud":"hub"}`, past, future), 401},
			"ISS alone":                  {header, fmt.Sprintf(`{"sub":"m","exp":%d,"ISS":"issuer","aud":"hub"}`, future), 401},
			"Iss beside another iss":     {header, fmt.Sprintf(`{"sub":"m","exp":%d,"iss":"other","Iss":"issuer","aud":"hub"}`, future), 401},
			"Aud alone":                  {header, fmt.Sprintf(`{"sub":"m","exp":%d,"iss":"issuer","Aud":"hub"}`, future), 401},
			"Aud beside another aud":     {header, fmt.Sprintf(`{"sub":"m","exp":%d,"iss":"issuer","aud":["other"],"Aud":["hub"]}`, future), 401},
			"nbf in the future, Nbf not": {header, fmt.Sprintf(`{"sub":"m","nbf":%d,"Nbf":%d%s}`, future, past, rest), 401},

			"sub twice":              {header, `{"sub":"a","sub":"m"` + rest + `}`, 401},
			"the same sub twice":     {header, `{"sub":"m","sub":"m"` + rest + `}`, 401},
			"sub twice, one escaped": {header, `{"sub":"a","s\u0075b":"m"` + rest + `}`, 401},
			"exp twice":              {header, fmt.Sprintf(`{"sub":"m","exp":%d%s}`, past, rest), 401},
			"aud twice":              {header, `{"sub":"m","aud":"other"` + rest + `}`, 401},
			"nbf twice":              {header, fmt.Sprintf(`{"sub":"m","nbf":%d,"nbf":%d%s}`, future, past, rest), 401},
			"another claim twice":    {header, `{"sub":"m","role":"user","role":"admin"` + rest + `}`, 401},
			"a name twice inside":    {header, `{"sub":"m","x":{"y":1,"y":2}` + rest + `}`, 401},

			"ALG beside alg":            {`,"ALG":"none"`, `{"sub":"m"` + rest + `}`, 200},
			"Kid beside kid":            {`,"Kid":"nobody","KID":7`, `{"sub":"m"` + rest + `}`, 200},
			"Crit":                      {`,"Crit":["exp"]`, `{"sub":"m"` + rest + `}`, 200},
			"crit":                      {`,"crit":["exp"]`, `{"sub":"m"` + rest + `}`, 401},
			"alg twice":                 {`,"alg":"` + s.name + `"`, `{"sub":"m"` + rest + `}`, 401},
			"alg twice, and none":       {`,"alg":"none"`, `{"sub":"m"` + rest + `}`, 401},
			"kid twice":                 {`,"kid":"x","kid":"ec"`, `{"sub":"m"` + rest + `}`, 401},
			"another twice":             {`,"x":1,"x":2`, `{"sub":"m"` + rest + `}`, 401},
			"a surrogate in the header": {`,"x":"\udc00"`, `{"sub":"m"` + rest + `}`, 401},

			"half a surrogate pair":       {header, `{"sub":"m\ud800"` + rest + `}`, 401},
			"the other half":              {header, `{"sub":"\udc00m"` + rest + `}`, 401},
			"two halves, turned":          {header, `{"sub":"\udc00\ud800"` + rest + `}`, 401},
			"half a pair in another":      {header, `{"sub":"m","name":"\ud800"` + rest + `}`, 401},
			"half a pair in a name":       {header, `{"sub":"m","\ud800":1` + rest + `}`, 401},
			"a surrogate in UTF-8":        {header, "{\"sub\":\"\xed\xa0\x80\"" + rest + "}", 401},
			"no UTF-8":                    {header, "{\"sub\":\"m\xff\"" + rest + "}", 401},
			"a whole pair":                {header, `{"sub":"\ud83d\ude00"` + rest + `}`, 404},
			"what stands for what is not": {header, `{"sub":"` + "\ufffd" + `"` + rest + `}`, 404},
			"no JSON":                     {header, `{"sub":"m"` + rest, 401},
			"two values":                  {header, `{"sub":"m"` + rest + `}{}`, 401},
			"a list":                      {header, `["m"]`, 401},
			"null":                        {header, `null`, 401},
		} {
			t.Run(s.name+" "+name, func(t *testing.T) {
				if s.name == "RS256" && name == "kid twice" {
					tt.header = `,"kid":"rsa","kid":"rsa"`
				}
				a := s.rig.do("GET", "/sessions/"+owned, "", authorized(s.token(t, s.header+tt.header+"}", tt.claims)))
				if a.StatusCode != tt.status {
					t.Errorf("%s, want %d", a.Status, tt.status)
				}
			})
		}
		for _, header := range []string{
			`{"ALG":"` + s.name + `"}`, `{}`, `[]`, `null`, strings.Replace(s.header, "alg", "Alg", 1) + "}",
		} {
			s.rig.do("GET", "/sessions/"+owned, "", authorized(s.token(t, header, `{"sub":"m"`+rest+"}"))).wantError(401, "unauthorized")
		}
	}
}

// TestSubjectsAreApart: two subjects are never one, also where a reader of
// JSON that forgives too much would make them so.
func TestSubjectsAreApart(t *testing.T) {
	for _, s := range signers(t)[:2] {
		claims := func(sub string) string {
			return fmt.Sprintf(`{"sub":"%s","exp":%d,"iss":"issuer","aud":"hub"}`, sub, time.Now().Add(time.Hour).Unix())
		}
		subjects := []string{"m", "M", "m ", `m\u0000`, `m\u00e9`, `me\u0301`, "m\ufffd", `m\ufffd\ufffd`, `\ud83d\ude00`, "null", `{}`}
		var owned []string
		for _, sub := range subjects {
			a := s.rig.do("POST", "/sessions", "", authorized(s.token(t, s.header+"}", claims(sub)))).want(201)
			owned = append(owned, decode[chatSession](t, a).ID)
		}
		for i, sub := range subjects {
			for j, id := range owned {
				want := 404
				if i == j {
					want = 200
				}
				s.rig.do("GET", "/sessions/"+id, "", authorized(s.token(t, s.header+"}", claims(sub)))).want(want)
			}
		}
		// On a WebSocket it is the same token.
		bad := s.token(t, s.header+"}", strings.Replace(claims("a"), "{", `{"sub":"m",`, 1))
		s.rig.dial("/ws/"+owned[0], offering("chathub.v1", "bearer."+bad)).wantClose(4401)
		other := s.token(t, s.header+"}", strings.Replace(claims("a"), "{", `{"Sub":"m",`, 1))
		s.rig.dial("/ws/"+owned[0], offering("chathub.v1", "bearer."+other)).wantClose(4404)
	}
}
