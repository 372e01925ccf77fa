package eliza

import "strings"

// keyword is a word that ELIZA reacts to, or a family of words ("@family").
type keyword struct {
	rank   int    // the higher, the sooner it is tried
	rules  []rule // tried in order
	memory []rule // what to keep in mind, whatever the answer was
}

// rule answers what fits a pattern by one of its answers, in turn. "$1" stands
// for what the first "*" or "@family" matched; "=word" hands over to another
// keyword.
type rule struct {
	words   []string
	answers []string
}

// on makes a rule.
func on(pattern string, answers ...string) rule {
	return rule{strings.Fields(pattern), answers}
}

// families are words that are treated alike, by word.
var families = invert(map[string]string{
	"@family": "mother father sister brother wife husband son daughter child children parents grandmother grandfather uncle aunt family",
	"@low":    "sad unhappy depressed sick lonely tired afraid anxious worried upset angry stressed ashamed",
	"@high":   "happy glad elated better relieved proud calm excited",
	"@want":   "want need wish hope",
	"@think":  "think believe feel guess suppose",
	"@all":    "everyone everybody nobody noone",
	"@tongue": "deutsch français francais español espanol italiano nihongo bonjour hola guten",
	"@device": "computer computers machine machines robot robots program ai chatbot llm mistral",
	"@work":   "work job boss office colleague colleagues career exam school",
})

func invert(groups map[string]string) map[string]string {
	byWord := map[string]string{}
	for name, words := range groups {
		for _, w := range strings.Fields(words) {
			byWord[w] = name
		}
	}
	return byWord
}

// nothing is said when no keyword was found and nothing is remembered.
var nothing = []string{
	"I am not sure I follow you. Could you say it in other words?",
	"Please go on. Take all the time you need.",
	"That is interesting. What does it bring to your mind?",
	"I see. And what does that tell you about yourself?",
	"Let us stay with that for a moment. Why do you bring it up just now?",
	"Hm. When did you first notice that? I would like to hear how it began.",
}
