//! Messages that are a bit string whose length the plan knows.

/// Declares one: its documentation, name, kind, and what it is called in errors.
macro_rules! bits_message {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $what:literal) => {
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) BitVec);

        impl Message for $name {
            type Shape = usize;
            const KIND: u16 = $kind;
            const NAME: &'static str = $what;

            fn encoded_len(shape: &usize) -> usize {
                BitVec::encoded_len(shape)
            }
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
            fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
                Ok(Self(BitVec::decode(input, shape)?))
            }
        }
    };
}

pub(crate) use bits_message;
