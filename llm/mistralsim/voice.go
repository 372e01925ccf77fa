package mistralsim

// Eliza answers with ELIZA's voice (package eliza), as fast as it can.
func Eliza(r *Request) Answer { return Answer{Text: "How do you do. Please tell me your problem."} }

// Demo is Eliza at a pace that is pleasant to read along.
func Demo(r *Request) Answer { return Eliza(r) }
