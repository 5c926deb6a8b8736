//! What moves bytes between ranks.

use std::fmt::Debug;

/// Bytes of a message: counts of MPI are 32 bits.
const MESSAGE_BYTES: usize = 64 << 20;

/// The collective operations of a group of processes. Every rank calls them in the same order.
pub(crate) trait Transport: Debug + Send + Sync {
    /// The number of this process.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn size(&self) -> usize;

    /// `all` becomes the `own` of all ranks in their order; `all` is `size` times as long.
    fn all_gather(&self, own: &[u8], all: &mut [u8]);

    /// As [`Self::all_gather`].
    fn all_gather_values(&self, own: &[f32], all: &mut [f32]);

    /// Part `i` of `size` equal parts of `own` goes to rank `i`; part `i` of `received` becomes what rank `i` sent.
    fn all_to_all(&self, own: &[f32], received: &mut [f32]);

    /// `bytes` becomes that of rank 0.
    fn broadcast(&self, bytes: &mut [u8]);

    /// Ends all processes.
    fn abort(&self, code: i32);
}

/// The bytes of every rank, of any length.
pub(crate) fn gather(transport: &dyn Transport, own: &[u8]) -> Vec<Vec<u8>> {
    let size = transport.size();
    let mut lengths = vec![0; 8 * size];
    transport.all_gather(&(own.len() as u64).to_le_bytes(), &mut lengths);
    let (lengths, _) = lengths.as_chunks::<8>();
    let lengths: Vec<usize> = lengths.iter().map(|bytes| u64::from_le_bytes(*bytes) as usize).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut padded = own.to_vec();
    padded.resize(longest, 0);
    let mut gathered: Vec<Vec<u8>> = vec![Vec::new(); size];
    for own in padded.chunks(MESSAGE_BYTES / size) {
        let mut all = vec![0; own.len() * size];
        transport.all_gather(own, &mut all);
        gathered.iter_mut().zip(all.chunks(own.len())).for_each(|(rank, part)| rank.extend_from_slice(part));
    }
    gathered.iter_mut().zip(lengths).for_each(|(rank, length)| rank.truncate(length));
    gathered
}

/// The bytes of rank 0.
pub(crate) fn broadcast(transport: &dyn Transport, own: Vec<u8>) -> Vec<u8> {
    let mut length = (own.len() as u64).to_le_bytes();
    transport.broadcast(&mut length);
    let mut bytes = own;
    bytes.resize(u64::from_le_bytes(length) as usize, 0);
    bytes.chunks_mut(MESSAGE_BYTES).for_each(|part| transport.broadcast(part));
    bytes
}
